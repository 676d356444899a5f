"""What the pipeline knows about one user at one moment. Pure: a value that rules read and caches carry."""

import msgspec

from pipeline.events.vocabulary import Channel

EVERY = "*"
"""In a preference row's `channel` or `notif_type`, in a suppression's `stream`: all of them. ``all`` is accepted too."""


class Device(msgspec.Struct, frozen=True, array_like=True):
    """One device that takes push messages. `id` is short, stable and no secret; `token` is the provider's.

    `environment` is APNs's, ``production`` or ``sandbox``; `app` the bundle id. Empty: as the account has it.
    """

    id: str
    platform: str
    token: str
    environment: str = ""
    app: str = ""


class PreferenceRow(msgspec.Struct, frozen=True, array_like=True):
    """One row of ``user_notification_preferences``.

    `channel` is a channel or `EVERY`; `notif_type` an event type, a category or `EVERY`. `enabled` None says nothing
    about opting in or out. `quiet_start` and `quiet_end` are seconds since midnight on the wall clock of `timezone`
    (IANA); both None: the row says nothing about quiet hours; equal: no quiet hours.
    """

    channel: str
    notif_type: str
    enabled: bool | None
    quiet_start: int | None
    quiet_end: int | None
    timezone: str | None


class Suppression(msgspec.Struct, frozen=True, array_like=True):
    """This user's address on `channel` must not be used for `stream` (`EVERY`: for none); `expires_at` in ms or None."""

    channel: Channel
    stream: str
    reason: str
    expires_at: int | None


class UserSnapshot(msgspec.Struct, frozen=True, array_like=True):
    """A user's addresses, preferences, consents and suppressions, as of `version` (grows with every change).

    `known` False: there is no such user; everything else is empty then. `consents` are the categories consented to.
    """

    user_id: str
    version: int
    known: bool
    email: str | None = None
    phone: str | None = None
    locale: str | None = None
    timezone: str | None = None
    devices: list[Device] = []
    preferences: list[PreferenceRow] = []
    consents: list[str] = []
    suppressions: list[Suppression] = []

    def has_address(self, channel: Channel) -> bool:
        """Whether there is anywhere to send to. The inbox of a known user is always there."""
        match channel:
            case Channel.PUSH:
                return bool(self.devices)
            case Channel.EMAIL:
                return bool(self.email)
            case Channel.SMS:
                return bool(self.phone)
            case Channel.IN_APP:
                return self.known


def unknown_user(user_id: str) -> UserSnapshot:
    return UserSnapshot(user_id=user_id, version=0, known=False)
