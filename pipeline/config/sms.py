"""Accounts at providers that send SMS."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pipeline.config.base import Section
from pipeline.config.countries import Senders

_SENDERS = "Sender by country (ISO 3166 code, `*` for all others), instead of `from_number`."


class TwilioSettings(Section):
    """Twilio Programmable Messaging."""

    base_url: str = Field("https://api.twilio.com", description="API address.")
    account_sid: str = Field("", description="AC…")
    auth_token: SecretStr = Field(SecretStr(""), description="Auth token.")
    from_number: str = Field(
        "", description="Sender: a number in E.164, a name, a short code, or a messaging service SID (MG…)."
    )
    senders: Senders = Field(default_factory=dict, description=_SENDERS)


class VonageSettings(Section):
    """Vonage: the SMS API or the Messages API."""

    api: Literal["sms", "messages"] = Field("sms", description="Which of its two APIs sends.")
    base_url: str = Field(
        "", description="API address; empty: https://rest.nexmo.com (sms), https://api.nexmo.com (messages)."
    )
    api_key: str = Field("", description="Key of the account (sms).")
    api_secret: SecretStr = Field(SecretStr(""), description="Secret of `api_key` (sms).")
    application_id: str = Field("", description="Application (messages).")
    private_key: Path | None = Field(
        None, description="Private key of the application (messages), a PEM file. Read again when it changes."
    )
    from_number: str = Field("", description="Sender: a number in E.164, or a name of up to 11 letters and digits.")
    senders: Senders = Field(default_factory=dict, description=_SENDERS)
    signature_secret: SecretStr = Field(SecretStr(""), description="Signs the webhooks of both APIs.")
    signature_method: Literal["md5hash", "md5", "sha1", "sha256", "sha512"] = Field(
        "sha256", description="How webhooks of the SMS API are signed, as the account's settings at Vonage say."
    )


class SnsSettings(Section):
    """Amazon SNS: SMS straight to a number."""

    base_url: str = Field("", description="API address; empty: that of the region.")
    region: str = Field("", description="AWS region, as in eu-west-1.")
    access_key_id: str = Field(
        "",
        description="Access key; empty: wherever AWS tools look (environment, shared files, the role of the pod).",
    )
    secret_access_key: SecretStr = Field(SecretStr(""), description="Secret of `access_key_id`.")
    session_token: SecretStr = Field(SecretStr(""), description="Session token of temporary credentials.")
    from_number: str = Field(
        "",
        description="Sender: a number of the account in E.164, or a sender id of up to 11 letters and digits; empty: "
        "AWS chooses.",
    )
    senders: Senders = Field(default_factory=dict, description=_SENDERS)
    max_price: float | None = Field(
        None, gt=0, description="Most US dollars that one message may cost; what costs more AWS does not send."
    )
