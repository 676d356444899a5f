"""Ids that are derived, so that whoever meets the same event again arrives at the same id."""

import hashlib
import uuid

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "notifications").bytes
_VARIANT = {digit: f"{int(digit, 16) & 3 | 8:x}" for digit in "0123456789abcdef"}
"""The two variant bits of RFC 9562 set in a hexadecimal digit."""


def notification_id(idempotency_key: str, recipient_id: str, channel: str) -> str:
    """The id of one event × channel: a UUIDv5 of idempotency key, recipient and channel (RFC 9562).

    Computed by hand, because `uuid.uuid5` costs four times as much and this runs for each channel of each event.
    A channel that is not known yet is the empty string. The parts are joined by a byte that UTF-8 never uses, so
    that ``("ab", "c")`` and ``("a", "bc")`` differ.
    """
    name = b"\xff".join((idempotency_key.encode(), recipient_id.encode(), channel.encode()))
    text = hashlib.sha1(_NAMESPACE + name, usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"
