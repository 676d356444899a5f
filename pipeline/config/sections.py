"""The sections of the settings, but for the providers'."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from pipeline.config.base import Seconds, Section, WrongTogether
from pipeline.config.failover import Accounts, AccountSettings
from pipeline.config.warm_up import WarmUpSettings


class KafkaSettings(Section):
    """Where Kafka is and how to speak to it."""

    bootstrap_servers: str = Field("localhost:9092", description="Comma-separated host:port list.")
    schema_registry_url: str | None = Field(
        None, description="A Confluent-compatible registry; empty: schema ids come from the lock file."
    )
    group_protocol: Literal["auto", "consumer", "classic"] = Field(
        "auto",
        description="Workers' rebalance protocol: `consumer` (KIP-848) where the cluster offers it, else "
        "cooperative-sticky; `auto` asks the cluster.",
    )
    poll_limit: Seconds = Field(
        60,
        gt=0,
        description="A consumer that has not polled for so long, and what a drain may take, makes `/healthz` answer 503.",
    )
    client: dict[str, str] = Field(
        default_factory=dict,
        description="librdkafka properties passed through to every client: SASL, TLS, mTLS.",
    )


class RedisSettings(Section):
    """Redis or Valkey: caches, claims, leases."""

    url: str = Field("redis://localhost:6379/0", description="redis:// or rediss:// URL.")
    cluster: bool = Field(False, description="The URL is a seed node of a Redis Cluster.")
    timeout: Seconds = Field(3, gt=0, description="How long an answer is waited for; then the server counts as away.")
    pool_size: int = Field(
        100, ge=1, description="Connections a process holds at most (to each node of a cluster); more calls wait."
    )


class PostgresSettings(Section):
    """PostgreSQL: users, preferences, inbox, history."""

    dsn: SecretStr = Field(SecretStr("postgresql://localhost/notifications"), description="libpq connection URL.")
    pool_size: int = Field(8, ge=1, description="Connections a process holds at most.")


class RouterSettings(Section):
    """The Faust agent that decides."""

    unknown_types: Literal["default", "suppress", "dead_letter"] = Field(
        "dead_letter",
        description="What becomes of an event type that the catalogue does not list: the catalogue's `defaults`, "
        "suppressed, or to the ingest dead-letter topic.",
    )
    idempotency_retention: Seconds = Field(86_400, description="How long a duplicate is recognised, in seconds.")
    snapshot_ttl: Seconds = Field(300, description="How long a user's snapshot is cached in Redis, in seconds.")
    snapshot_stale_ttl: Seconds = Field(
        3600,
        description="How much longer it is kept, for critical types that the catalogue exempts (`when_users_away: "
        "send`) while PostgreSQL is away. In seconds; 0: not at all.",
    )
    fetch_max_records: int = Field(500, ge=1, description="Records decided in one chunk, at most.")
    commit_interval: Seconds = Field(0.5, description="How often offsets are committed, in seconds.")
    session_timeout: Seconds = Field(10, description="How long the group waits for a silent router, in seconds.")


class DeliverySettings(Section):
    """The delivery engine of the workers."""

    concurrency: int = Field(200, ge=1, description="Sends under way at once, for each topic.")
    max_in_flight: int = Field(2000, ge=1, description="Records taken from Kafka and not finished, for each topic.")
    fetch_max_records: int = Field(500, ge=1, description="Records taken from Kafka in one call.")
    user_share: int = Field(32, ge=1, description="Records of one user in line; more of them wait aside.")
    user_backlog: int = Field(
        20_000, ge=0, description="Records that may wait aside beyond `max_in_flight`, for each topic."
    )
    lease: Seconds = Field(30, description="How long a worker holds a notification; longer than provider_timeout.")
    provider_timeout: Seconds = Field(10, description="How long a provider's answer is waited for.")
    max_attempts: int = Field(5, ge=1, description="Tries before the dead-letter topic.")
    backoff_base: Seconds = Field(1, description="First backoff; doubles with each try.")
    backoff_cap: Seconds = Field(60, description="Longest backoff before jitter.")
    parking_limit: Seconds = Field(60, description="A longer wait goes to `notifications.deferred`.")
    commit_interval: Seconds = Field(0.2, description="How often offsets are committed.")
    offset_metadata_max: int = Field(
        4096,
        ge=128,
        description="Characters beside a committed offset that say what has finished beyond it; at most the broker's "
        "`offset.metadata.max.bytes`. Without room for more the partition takes in nothing new.",
    )
    drain_timeout: Seconds = Field(15, description="How long a stop or a revocation waits for what is in flight.")
    retention: Seconds = Field(172_800, description="How long a finished notification is remembered.")

    @model_validator(mode="after")
    def _lease_outlasts_the_provider(self) -> "DeliverySettings":
        if self.lease <= self.provider_timeout:
            raise WrongTogether(
                f"delivery.lease ({self.lease:g} s) must be longer than delivery.provider_timeout "
                f"({self.provider_timeout:g} s): a send that outlasts its lease would be sent twice",
                "lease",
                "provider_timeout",
            )
        return self


class EmailSettings(Section):
    """Senders and links of e-mail."""

    providers: Accounts = Field(
        (AccountSettings(name="smtp"),), description="Accounts, in the order of failover; fields: docs/isolation.md."
    )
    from_transactional: str = Field("Notifications <notify@mail.example.com>", description="Transactional sender.")
    from_marketing: str = Field("News <news@news.example.com>", description="Marketing sender, its own domain.")
    unsubscribe_secret: SecretStr = Field(
        SecretStr(""), description="Signs unsubscribe links; needed to send marketing mail."
    )
    feedback_sender: str = Field(
        "notifications",
        pattern=r"^[A-Za-z0-9-]{5,15}$",
        description="Last field of `Feedback-ID`: by it mailbox providers count complaints. Never change it.",
    )
    warm_up: dict[str, WarmUpSettings] = Field(
        default_factory=dict,
        description="Sending pools (`transactional`, `marketing`) whose addresses are new, and how they are warmed up.",
    )


class CatalogueSettings(Section):
    """Where the event catalogue and the templates are."""

    path: Path = Field(Path("examples/catalogue.yaml"), description="The event catalogue.")
    templates: Path = Field(Path("examples/templates"), description="The template folder.")


class HttpSettings(Section):
    """The HTTP side: public address, and each service's own port for health and metrics."""

    public_url: str = Field("http://localhost:8080", description="Base of links in messages and of callbacks.")
    host: str = Field("127.0.0.1", description="Address that health and metrics listen on.")
    port: int = Field(0, ge=0, le=65535, description="Port for /healthz, /readyz, /metrics; 0: any free port.")


class LogSettings(Section):
    """Logs go to stderr."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severity logged.")
    format: Literal["json", "text"] = Field("json", description="`json` for machines, `text` for people.")
