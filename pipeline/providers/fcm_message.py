"""The JSON of an FCM message: built and validated once by firebase-admin's own encoder, then filled in.

Encoding each message with firebase-admin costs 30 to 50 µs, filling a skeleton 3 µs. A skeleton depends only on which
optional fields are there, so there are eight of them.
"""

import functools
import re
from datetime import timedelta
from typing import NamedTuple

import msgspec
from firebase_admin import messaging

from pipeline.providers.push_message import MAX_TTL, PushMessage, apns_collapse_id, web_topic

__all__ = [
    "END",
    "MAX_PAYLOAD",
    "MAX_TTL",
    "PushMessage",
    "build_message",
    "device_body",
    "open_body",
    "validation_body",
    "values_of",
]

MAX_PAYLOAD = 4096
"""Bytes. https://firebase.google.com/docs/cloud-messaging/concept-options#notifications_and_data_messages"""

_MARK = re.compile(r'"@(\w+)@"')
_TTL_MARK = 1_234_567
_encode = msgspec.json.Encoder().encode
END = b"}}"


def open_body(message: PushMessage) -> bytes:
    """The request body up to the device token: append the token as JSON, then `END`."""
    skeleton = _skeleton(message.high_priority, message.collapse_key is not None, message.ttl is not None)
    values = values_of(message)
    filled = [skeleton.literals[0]]
    for name, literal in zip(skeleton.names, skeleton.literals[1:], strict=True):
        filled += (_encode(values[name]), literal)
    return b"".join(filled)


def validation_body(token: str) -> bytes:
    """A dry run: FCM says whether it would send to `token`, and sends nothing."""
    return _encode({"validateOnly": True, "message": {"token": token}})


def device_body(opened: bytes, token: str) -> bytes:
    """The complete request body for one device."""
    return opened + _encode(token) + END


def build_message(values: dict[str, str], ttl: int | None, *, high_priority: bool) -> messaging.Message:
    """The message as firebase-admin models it. `values` as from `values_of`, and the token.

    What replaces what: the collapse key, or else the notification's own id, is also the tag on the device's screen,
    so that a repeated send (FCM cannot deduplicate) replaces the first one instead of standing beside it.
    """
    expiry = {} if ttl is None else {"apns-expiration": values["apns_expiration"]}
    web_ttl = {} if ttl is None else {"TTL": values["web_ttl"]}
    message = messaging.Message(
        notification=messaging.Notification(title=values["title"], body=values["body"]),
        data={"notification_id": values["notification_id"], "event_type": values["event_type"]},
        android=messaging.AndroidConfig(
            collapse_key=values.get("collapse_key"),
            priority="high" if high_priority else "normal",
            ttl=None if ttl is None else timedelta(seconds=ttl),
            notification=messaging.AndroidNotification(tag=values["tag"]),
        ),
        apns=messaging.APNSConfig(
            headers={
                "apns-priority": "10" if high_priority else "5",
                "apns-collapse-id": values["apns_collapse_id"],
                **expiry,
            },
            payload=messaging.APNSPayload(messaging.Aps(sound="default" if high_priority else None)),
        ),
        webpush=messaging.WebpushConfig(
            headers={"Urgency": "high" if high_priority else "normal", "Topic": values["web_topic"], **web_ttl}
        ),
    )
    message.token = values["token"]  # as an argument it warns: firebase-admin is moving to installation ids
    return message


class _Skeleton(NamedTuple):
    """`literals[0] value(names[0]) literals[1] …`, without the token and `END`."""

    names: tuple[str, ...]
    literals: tuple[bytes, ...]


@functools.cache
def _skeleton(high_priority: bool, collapses: bool, expires: bool) -> _Skeleton:
    fields = [
        *("token", "title", "body", "notification_id", "event_type", "tag", "apns_collapse_id", "web_topic"),
        *(["collapse_key"] if collapses else []),
        *(["apns_expiration", "web_ttl"] if expires else []),
    ]
    marks = {name: f"@{name}@" for name in fields}
    message = build_message(marks, _TTL_MARK if expires else None, high_priority=high_priority)
    encoded = msgspec.json.decode(str(message), type=dict[str, object])
    encoded["token"] = encoded.pop("token")  # last, so that all devices share what stands before it
    text = _encode({"message": encoded}).decode().replace(f'"{_TTL_MARK}s"', '"@ttl@"')
    pieces = _MARK.split(text)
    literals = tuple(piece.encode() for piece in pieces[::2])
    assert pieces[-2:] == ["token", END.decode()]
    return _Skeleton(tuple(pieces[1:-2:2]), literals[:-1])


def values_of(message: PushMessage) -> dict[str, str]:
    """What a message fills in, by the names of the skeleton's gaps."""
    replaces = message.replaces
    values = {
        "notification_id": message.notification_id,
        "event_type": message.event_type,
        "title": message.title,
        "body": message.body,
        "tag": replaces,
        "apns_collapse_id": apns_collapse_id(replaces),
        "web_topic": web_topic(replaces),
    }
    if message.collapse_key is not None:
        values["collapse_key"] = message.collapse_key
    if message.ttl is not None:
        values |= {"ttl": f"{message.ttl}s", "web_ttl": str(message.ttl), "apns_expiration": str(message.expires_at)}
    return values
