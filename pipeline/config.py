"""All settings, in one place: a YAML file, each value overridable from the environment.

The file is named by ``PIPELINE_CONFIG``. ``PIPELINE_<SECTION>__<NAME>`` overrides one value; ``…_FILE`` reads it from
a file instead (secrets). `Settings.load` is the only way in.
"""

import difflib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from pipeline.errors import ConfigurationError

PREFIX = "PIPELINE_"
Seconds = Annotated[float, Field(ge=0, description="seconds")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    client: dict[str, str] = Field(
        default_factory=dict,
        description="librdkafka properties passed through to every client: SASL, TLS, mTLS.",
    )


class RedisSettings(Section):
    """Redis or Valkey: caches, claims, leases."""

    url: str = Field("redis://localhost:6379/0", description="redis:// or rediss:// URL.")
    cluster: bool = Field(False, description="The URL is a seed node of a Redis Cluster.")


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
    fetch_max_records: int = Field(500, ge=1, description="Records decided in one chunk, at most.")
    commit_interval: Seconds = Field(0.5, description="How often offsets are committed, in seconds.")
    session_timeout: Seconds = Field(10, description="How long the group waits for a silent router, in seconds.")


class DeliverySettings(Section):
    """The delivery engine of the workers."""

    concurrency: int = Field(200, ge=1, description="Sends under way at once, for each topic.")
    max_in_flight: int = Field(2000, ge=1, description="Records taken from Kafka and not finished, for each topic.")
    fetch_max_records: int = Field(500, ge=1, description="Records taken from Kafka in one call.")
    lease: Seconds = Field(30, description="How long a worker holds a notification; longer than provider_timeout.")
    provider_timeout: Seconds = Field(10, description="How long a provider's answer is waited for.")
    max_attempts: int = Field(5, ge=1, description="Tries before the dead-letter topic.")
    backoff_base: Seconds = Field(1, description="First backoff; doubles with each try.")
    backoff_cap: Seconds = Field(60, description="Longest backoff before jitter.")
    parking_limit: Seconds = Field(60, description="A longer wait goes to `notifications.deferred`.")
    commit_interval: Seconds = Field(0.2, description="How often offsets are committed.")
    drain_timeout: Seconds = Field(15, description="How long a stop or a revocation waits for what is in flight.")
    retention: Seconds = Field(172_800, description="How long a finished notification is remembered.")


class FcmSettings(Section):
    """Firebase Cloud Messaging, HTTP v1."""

    base_url: str = Field("https://fcm.googleapis.com", description="API address.")
    project_id: str = Field("", description="Firebase project; empty: the service account's.")
    service_account: Path | None = Field(None, description="Service-account JSON file.")


class SmtpSettings(Section):
    """A mail relay."""

    base_url: str = Field("smtp://localhost:25", description="smtp://host:port, or smtps:// for implicit TLS.")
    starttls: Literal["auto", "require", "never"] = Field("auto", description="STARTTLS on smtp://.")
    username: str = Field("", description="Empty: no authentication.")
    password: SecretStr = Field(SecretStr(""), description="Password of `username`.")
    connections: int = Field(20, ge=1, description="Connections kept open.")


class TwilioSettings(Section):
    """Twilio Programmable Messaging."""

    base_url: str = Field("https://api.twilio.com", description="API address.")
    account_sid: str = Field("", description="AC…")
    auth_token: SecretStr = Field(SecretStr(""), description="Auth token.")
    from_number: str = Field("", description="Sender in E.164; or a messaging service SID (MG…).")


class ProviderSettings(Section):
    """Accounts at providers."""

    fcm: FcmSettings = FcmSettings()
    smtp: SmtpSettings = SmtpSettings()
    twilio: TwilioSettings = TwilioSettings()


class EmailSettings(Section):
    """Senders and links of e-mail."""

    from_transactional: str = Field("Notifications <notify@mail.example.com>", description="Transactional sender.")
    from_marketing: str = Field("News <news@news.example.com>", description="Marketing sender, its own domain.")
    unsubscribe_secret: SecretStr = Field(
        SecretStr(""), description="Signs unsubscribe links; needed to send marketing mail."
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


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, case_sensitive=False
    )

    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    postgres: PostgresSettings = PostgresSettings()
    router: RouterSettings = RouterSettings()
    delivery: DeliverySettings = DeliverySettings()
    providers: ProviderSettings = ProviderSettings()
    email: EmailSettings = EmailSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over ``…_FILE`` over the YAML file over the defaults."""
        del env_settings, dotenv_settings, file_secret_settings
        path = os.environ.get(PREFIX + "CONFIG")
        sources = (init_settings, VariablesSource(settings_cls), SecretFilesSource(settings_cls))
        return (*sources, YamlConfigSettingsSource(settings_cls, yaml_file=path)) if path else sources

    @classmethod
    def load(cls) -> "Settings":
        """Read file and environment.

        Raises:
            ConfigurationError: a value is missing, unknown or wrong; one line each, naming the variable.
        """
        path = os.environ.get(PREFIX + "CONFIG")
        if path and not Path(path).is_file():
            raise ConfigurationError(f"PIPELINE_CONFIG names {path!r}, and there is no such file")
        _refuse_unknown_sections(cls.model_fields)
        try:
            return cls()
        except ValidationError as error:
            raise ConfigurationError("\n".join(_explain(e) for e in error.errors())) from None
        except yaml.YAMLError as error:
            raise ConfigurationError(f"{path} is not YAML: {error}") from None


def _refuse_unknown_sections(sections: Collection[str]) -> None:
    """A variable ``PIPELINE_X__Y`` of no section X is a slip that would go unnoticed: nothing reads it."""
    for variable in os.environ:
        section = variable.removeprefix(PREFIX).partition("__")[0].lower()
        if variable.startswith(PREFIX) and "__" in variable and section not in sections:
            near = difflib.get_close_matches(section, sections, 1)
            hint = f"did you mean {PREFIX}{near[0].upper()}__…?" if near else f"there are {', '.join(sections)}"
            raise ConfigurationError(f"{variable}: there is no section {section!r}; {hint}")


class VariablesSource(EnvSettingsSource):
    """``PIPELINE_A__B=x``; a name with ``_FILE`` behind it is the other source's, and no setting of its own."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name: value for name, value in super()._load_env_vars().items() if not name.endswith("_file")}


class SecretFilesSource(EnvSettingsSource):
    """``PIPELINE_A__B_FILE=/run/secrets/x`` sets ``a.b`` to that file's content, without its trailing newline."""

    def _load_env_vars(self) -> dict[str, str | None]:
        return {
            name.removesuffix("_FILE").lower(): _read_secret(name, path)
            for name, path in os.environ.items()
            if name.startswith(PREFIX) and name.endswith("_FILE")
        }


def _read_secret(name: str, path: str) -> str:
    try:
        return Path(path).read_text().rstrip("\n")
    except OSError as error:
        raise ConfigurationError(f"{name} names {path!r}: {error.strerror}") from None


def _explain(error: Any) -> str:
    where = [str(part) for part in error["loc"]]
    variable = PREFIX + "__".join(where).upper()
    return f"{'.'.join(where)}: {error['msg']} (set it in the YAML file or as {variable})"
