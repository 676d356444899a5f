"""One push message, whichever provider takes it: what it says, how long it counts, and what it replaces on a screen."""

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from pipeline.users.snapshot import Device

MAX_TTL = 28 * 86_400
"""Seconds. https://firebase.google.com/docs/cloud-messaging/concept-options#ttl"""

_COLLAPSE_ID = re.compile(r"[\x21-\x7e]{1,64}")
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")
_NO_HEADERS: Mapping[str, str] = {}


class PushMessage(NamedTuple):
    """One message, whichever device it goes to. `ttl` in seconds and `expires_at` in epoch seconds, or both None."""

    notification_id: str
    event_type: str
    title: str
    body: str
    high_priority: bool
    collapse_key: str | None
    ttl: int | None
    expires_at: int | None

    @property
    def replaces(self) -> str:
        """What replaces what on a screen: the collapse key, or else the notification itself, should it come twice."""
        return self.collapse_key or self.notification_id


class PushRequest(NamedTuple):
    """What goes to one device. `body` and `headers` are the provider's own."""

    device: Device
    body: bytes
    headers: Mapping[str, str] = _NO_HEADERS


class TooLarge(Exception):
    """The message takes more bytes than the provider allows."""

    def __init__(self, provider: str, size: int, limit: int) -> None:
        super().__init__(
            f"the push message takes {size} bytes, {limit} are allowed by {provider}: shorten its template"
        )


def apns_collapse_id(key: str) -> str:
    """At most 64 bytes; printable ASCII, because it travels as a header."""
    return key if _COLLAPSE_ID.fullmatch(key) else _digest(key)


def web_topic(key: str) -> str:
    """At most 32 characters of the URL-safe base64 alphabet (RFC 8030, section 5.4)."""
    plain = key.replace("-", "") if len(key) == 36 else key
    return plain if _TOPIC.fullmatch(plain) else _digest(key)[:32]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
