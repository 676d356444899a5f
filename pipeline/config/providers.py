"""Accounts at providers: one section each."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pipeline.config.base import Section
from pipeline.config.push import ApnsSettings, WebPushSettings
from pipeline.config.sms import SnsSettings, TwilioSettings, VonageSettings


class FcmSettings(Section):
    """Firebase Cloud Messaging, HTTP v1."""

    base_url: str = Field("https://fcm.googleapis.com", description="API address.")
    project_id: str = Field("", description="Firebase project; empty: the service account's.")
    service_account: Path | None = Field(None, description="Service-account JSON file.")


class SmtpSettings(Section):
    """A mail relay."""

    base_url: str = Field("smtp://localhost:25", description="smtp://host:port, or smtps:// for implicit TLS.")
    starttls: Literal["auto", "require", "never"] = Field(
        "auto", description="STARTTLS on smtp://: where the relay offers it, and always before a password is sent."
    )
    ca_file: Path | None = Field(None, description="Certificate authorities of the relay; none: the system's.")
    username: str = Field("", description="Empty: no authentication.")
    password: SecretStr = Field(SecretStr(""), description="Password of `username`.")
    connections: int = Field(20, ge=1, description="Connections kept open.")


class SesSettings(Section):
    """Amazon SES, API version 2."""

    base_url: str = Field("", description="API address; empty: that of the region.")
    region: str = Field("", description="AWS region, as in eu-west-1.")
    access_key_id: str = Field(
        "",
        description="Access key; empty: wherever AWS tools look (environment, shared files, the role of the pod).",
    )
    secret_access_key: SecretStr = Field(SecretStr(""), description="Secret of `access_key_id`.")
    session_token: SecretStr = Field(SecretStr(""), description="Session token of temporary credentials.")
    configuration_sets: dict[str, str] = Field(
        default_factory=dict,
        description="Configuration set by sending pool (`transactional`, `marketing`, or a warm-up pool).",
    )
    topics: str = Field(
        "",
        description="Comma-separated ARNs of the SNS topics that SES tells of mails through; of no other one is taken.",
    )
    sns_base_url: str = Field(
        "", description="Where SNS's certificates are and subscriptions are confirmed; empty: in the topic's region."
    )


class SendGridSettings(Section):
    """SendGrid, Web API v3."""

    base_url: str = Field("https://api.sendgrid.com", description="API address; EU: https://api.eu.sendgrid.com.")
    api_key: SecretStr = Field(SecretStr(""), description="API key that may send mail (scope `mail.send`).")
    ip_pools: dict[str, str] = Field(
        default_factory=dict,
        description="IP pool name by sending pool (`transactional`, `marketing`, or a warm-up pool).",
    )
    webhook_public_key: str = Field("", description="Verification key of the signed Event Webhook, base64.")
    tracking: bool = Field(False, description="Let SendGrid count opens and clicks; it rewrites the links.")


class MailgunSettings(Section):
    """Mailgun, API version 3."""

    base_url: str = Field("https://api.mailgun.net", description="API address; EU: https://api.eu.mailgun.net.")
    api_key: SecretStr = Field(SecretStr(""), description="API key, or a domain's sending key.")
    domains: dict[str, str] = Field(
        default_factory=dict,
        description="Sending domain by sending pool (`transactional`, `marketing`, or a warm-up pool); the domain of "
        "the sender's address where none is named.",
    )
    ip_pools: dict[str, str] = Field(default_factory=dict, description="IP pool id by sending pool.")
    webhook_signing_key: SecretStr = Field(SecretStr(""), description="HTTP webhook signing key.")
    tracking: bool = Field(False, description="Let Mailgun count opens and clicks; it rewrites the links.")


class ProviderSettings(Section):
    """Accounts at providers."""

    fcm: FcmSettings = FcmSettings()
    apns: ApnsSettings = ApnsSettings()
    webpush: WebPushSettings = WebPushSettings()
    smtp: SmtpSettings = SmtpSettings()
    ses: SesSettings = SesSettings()
    sendgrid: SendGridSettings = SendGridSettings()
    mailgun: MailgunSettings = MailgunSettings()
    twilio: TwilioSettings = TwilioSettings()
    vonage: VonageSettings = VonageSettings()
    sns: SnsSettings = SnsSettings()
