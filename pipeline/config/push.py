"""Accounts at push services other than FCM, and the registry of devices."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pipeline.config.base import Section

PUSH_SERVICES = "fcm.googleapis.com jmt17.google.com *.push.services.mozilla.com *.notify.windows.com *.push.apple.com"
"""Where browsers take push messages: Chrome and its kin, Firefox, Edge on Windows, Safari."""


class ApnsSettings(Section):
    """Apple Push Notification service, HTTP/2 with token authentication."""

    base_url: str = Field("https://api.push.apple.com", description="API address of the production environment.")
    sandbox_base_url: str = Field("https://api.sandbox.push.apple.com", description="API address of the sandbox.")
    signing_key: Path | None = Field(
        None,
        description="Signing key (`.p8`), or a folder of `AuthKey_<key id>.p8` of which the newest is used. "
        "Read again when it changes. Empty: Apple devices are reached through FCM.",
    )
    key_id: str = Field("", description="Id of the key; empty: from the file's name `AuthKey_<key id>.p8`.")
    team_id: str = Field("", description="Team that the key belongs to.")
    topic: str = Field("", description="Bundle id of the app; a device registered with an `app` has that instead.")
    environment: Literal["production", "sandbox"] = Field(
        "production", description="Where a device belongs that was registered without an environment."
    )
    ca_certificates: Path | None = Field(
        None, description="Certificate authorities (PEM) to trust instead of the system's: for a test server."
    )
    connections: int = Field(2, ge=1, description="Connections to each environment; one carries up to 1,000 sends.")


class WebPushSettings(Section):
    """Web push with VAPID, to whichever push service a subscription names."""

    base_url: str = Field("", description="Send everything here and not to the subscription's service: a test server.")
    vapid_key: SecretStr = Field(
        SecretStr(""), description="VAPID private key: PEM, or base64url as `web-push generate-vapid-keys` prints it."
    )
    subject: str = Field("", description="Whom push services may write to: mailto:… or https://….")
    allowed_hosts: str = Field(
        PUSH_SERVICES,
        description="Hosts that a subscription may name, separated by spaces, `*` for any part. Private addresses are "
        "refused anyway.",
    )
    allow_insecure: bool = Field(
        False, description="Accept http:// and private addresses in subscriptions: for test servers only."
    )


class DeviceSettings(Section):
    """The registry of devices that take push messages."""

    max_per_user: int = Field(
        20, ge=1, le=500, description="Devices a user keeps; on one more, the one not seen for longest leaves."
    )
    stale_after_days: int = Field(
        270,
        ge=1,
        description="Days without a sign of life after which `pipeline devices validate` prunes a device "
        "(FCM lets tokens expire after 270).",
    )
    validation_rate: int = Field(50, ge=1, description="Devices a second that `pipeline devices validate` asks for.")
