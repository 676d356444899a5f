"""What is kept of the delivery-status topic, for how long, and where it goes then."""

from pydantic import Field, SecretStr

from pipeline.config.base import Seconds, Section


class ArchiveSettings(Section):
    """Where days go that are older than `after_days`. Without a `url` they stay in PostgreSQL."""

    url: str = Field(
        "", description="`s3://bucket/prefix`, `gs://bucket/prefix` or `file:///folder`. Empty: nothing is archived."
    )
    after_days: int = Field(90, ge=1, description="Age in days at which a day is archived, and then dropped.")
    endpoint: str = Field("", description="`https://host:port` of an S3-compatible store that is not Amazon's.")
    region: str = Field("", description="Region of the bucket; empty: as AWS's own tools find it.")
    access_key: SecretStr | None = Field(None, description="Access key id; unset: as AWS's own tools find it.")
    secret_key: SecretStr | None = Field(None, description="Secret access key; set together with `access_key`.")


class StoreSettings(Section):
    """The history of notifications, in PostgreSQL."""

    archive: ArchiveSettings = ArchiveSettings()
    batch: int = Field(5_000, ge=1, description="Records stored in one transaction, at most.")
    days_ahead: int = Field(7, ge=1, le=60, description="Daily partitions made ahead.")
    upkeep: Seconds = Field(600, gt=0, description="How often partitions are made, and old ones archived.")
