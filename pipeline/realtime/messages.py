"""What comes in on the Redis channel, and what goes out to a client. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

Event = Literal["notification", "read"]


class Malformed(Exception):
    """A message on the channel is not what was agreed; the text holds nothing of it."""


class _Published(msgspec.Struct, frozen=True):
    recipient_id: str
    data: msgspec.Raw
    event: Event = "notification"
    place: int | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One event for a client. `data` is JSON on one line; `place` is its place in the inbox, None: it is in none."""

    event: str
    data: str
    place: int | None = None


_decoder = msgspec.json.Decoder(_Published)


def read_message(raw: bytes) -> tuple[str, Frame]:
    """Recipient and frame of a message: JSON ``{"recipient_id", "data"}``, ours with ``event`` and ``place``.

    Raises:
        Malformed: it is not.
    """
    try:
        message = _decoder.decode(raw)
        data = bytes(message.data)
        if b"\n" in data or b"\r" in data:
            data = msgspec.json.format(data, indent=-1)
        return message.recipient_id, Frame(message.event, data.decode(), message.place)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Malformed(type(error).__name__) from None


def read_event(recipient_id: str, notification_ids: Sequence[str], unread: int) -> bytes:
    """The message that tells a person's clients what was read or archived, and how much is unread now."""
    data = {"notification_ids": list(notification_ids), "unread": unread}
    return msgspec.json.encode({"recipient_id": recipient_id, "event": "read", "data": data})
