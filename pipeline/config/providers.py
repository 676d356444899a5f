"""Accounts at providers: one section each."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pipeline.config.base import Section
from pipeline.config.push import ApnsSettings, WebPushSettings


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
    apns: ApnsSettings = ApnsSettings()
    webpush: WebPushSettings = WebPushSettings()
    smtp: SmtpSettings = SmtpSettings()
    twilio: TwilioSettings = TwilioSettings()
