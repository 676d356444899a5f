"""All settings, in one place: a YAML file, each value overridable from the environment.

The file is named by ``PIPELINE_CONFIG``. ``PIPELINE_<SECTION>__<NAME>`` overrides one value; ``…_FILE`` reads it from
a file instead (secrets). `Settings.load` is the only way in.
"""

import difflib
import itertools
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from pipeline.config.base import WrongTogether
from pipeline.config.failover import (
    AccountSettings,
    BreakerSettings,
    PushSettings,
    SmsSettings,
)
from pipeline.config.gateway import GatewaySettings, JwtSettings
from pipeline.config.pages import PageSettings, TrackingSettings
from pipeline.config.providers import (
    FcmSettings,
    MailgunSettings,
    ProviderSettings,
    SendGridSettings,
    SesSettings,
    SmtpSettings,
)
from pipeline.config.push import ApnsSettings, DeviceSettings, WebPushSettings
from pipeline.config.realtime import RealtimeSettings
from pipeline.config.receipts import ReceiptSettings
from pipeline.config.retention import RetentionSettings
from pipeline.config.scheduler import PaceSettings, SchedulerSettings
from pipeline.config.sections import (
    CatalogueSettings,
    DeliverySettings,
    EmailSettings,
    HttpSettings,
    KafkaSettings,
    LogSettings,
    PostgresSettings,
    RedisSettings,
    RouterSettings,
)
from pipeline.config.sms import SnsSettings, TwilioSettings, VonageSettings
from pipeline.config.store import ArchiveSettings, StoreSettings
from pipeline.config.tracing import TracingSettings
from pipeline.config.warm_up import WarmUpSettings
from pipeline.errors import ConfigurationError

PREFIX = "PIPELINE_"
__all__ = [
    "AccountSettings",
    "ApnsSettings",
    "ArchiveSettings",
    "BreakerSettings",
    "CatalogueSettings",
    "DeliverySettings",
    "DeviceSettings",
    "EmailSettings",
    "FcmSettings",
    "GatewaySettings",
    "HttpSettings",
    "JwtSettings",
    "KafkaSettings",
    "LogSettings",
    "MailgunSettings",
    "PaceSettings",
    "PageSettings",
    "PostgresSettings",
    "ProviderSettings",
    "PushSettings",
    "RealtimeSettings",
    "ReceiptSettings",
    "RedisSettings",
    "RetentionSettings",
    "RouterSettings",
    "SchedulerSettings",
    "SendGridSettings",
    "SesSettings",
    "Settings",
    "SmsSettings",
    "SmtpSettings",
    "SnsSettings",
    "StoreSettings",
    "TracingSettings",
    "TrackingSettings",
    "TwilioSettings",
    "VonageSettings",
    "WarmUpSettings",
    "WebPushSettings",
]


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
    scheduler: SchedulerSettings = SchedulerSettings()
    store: StoreSettings = StoreSettings()
    retention: RetentionSettings = RetentionSettings()
    providers: ProviderSettings = ProviderSettings()
    push: PushSettings = PushSettings()
    email: EmailSettings = EmailSettings()
    sms: SmsSettings = SmsSettings()
    breaker: BreakerSettings = BreakerSettings()
    receipts: ReceiptSettings = ReceiptSettings()
    devices: DeviceSettings = DeviceSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    http: HttpSettings = HttpSettings()
    gateway: GatewaySettings = GatewaySettings()
    realtime: RealtimeSettings = RealtimeSettings()
    pages: PageSettings = PageSettings()
    tracking: TrackingSettings = TrackingSettings()
    log: LogSettings = LogSettings()
    tracing: TracingSettings = TracingSettings()

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
        except SettingsError as error:
            raise ConfigurationError(_explain_json(error)) from None
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


def _explain_json(error: SettingsError) -> str:
    """A list or a map comes as JSON; the library says of which section it was, not of which variable."""
    for variable, value in os.environ.items():
        if variable.startswith(PREFIX) and value.lstrip()[:1] in {"[", "{"}:
            try:
                json.loads(value)
            except ValueError as wrong:
                return f"{variable} is not JSON: {wrong}"
    return f"a list or a map has to be JSON: {error}"


def _explain(error: Any) -> str:
    where = [str(part) for part in error["loc"]]
    if isinstance(wrong := error.get("ctx", {}).get("error"), WrongTogether):
        variables = " or ".join(PREFIX + "__".join((*where, name)).upper() for name in wrong.names)
        return f"{wrong} (set them in the YAML file or as {variables})"
    settable = list(itertools.takewhile(lambda part: not isinstance(part, int), error["loc"]))
    variable = PREFIX + "__".join(map(str, settable)).upper()
    return f"{'.'.join(where)}: {error['msg']} (set it in the YAML file or as {variable})"
