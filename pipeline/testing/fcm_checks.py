"""What FCM HTTP v1 refuses in a ``messages:send`` body: unknown fields, wrong types, too much of it."""

import re

import msgspec

MAX_PAYLOAD = 4096


class Notification(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    title: str = ""
    body: str = ""
    image: str = ""


class AndroidNotification(msgspec.Struct, forbid_unknown_fields=True):
    tag: str = ""


class Android(msgspec.Struct, forbid_unknown_fields=True):
    collapse_key: str = ""
    priority: str = ""
    ttl: str = ""
    notification: AndroidNotification | None = None


class Headers(msgspec.Struct, forbid_unknown_fields=True):
    headers: dict[str, str] = {}


class Sound(msgspec.Struct, forbid_unknown_fields=True):
    sound: str = ""


class ApnsPayload(msgspec.Struct, forbid_unknown_fields=True):
    aps: Sound


class Apns(msgspec.Struct, forbid_unknown_fields=True):
    headers: dict[str, str] = {}
    payload: ApnsPayload | None = None


class Message(msgspec.Struct, forbid_unknown_fields=True):
    """The fields of FCM's message that this pipeline uses; any other is refused."""

    token: str = ""
    notification: Notification | None = None
    data: dict[str, str] = {}
    android: Android | None = None
    apns: Apns | None = None
    webpush: Headers | None = None


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    message: Message
    validate_only: bool = msgspec.field(default=False, name="validateOnly")


_decode = msgspec.json.Decoder(_Request).decode
_encode = msgspec.json.Encoder().encode
_TTL = re.compile(r"\d+(\.\d{1,9})?s")
_RESERVED = re.compile(r"from|message_type|google.*|gcm.*")
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")


def read_message(body: bytes) -> Message:
    """The message in a request body.

    Raises:
        ValueError: FCM would refuse it; says why.
    """
    return read_request(body)[0]


def read_request(body: bytes) -> tuple[Message, bool]:
    """The message in a request body, and whether it is a dry run, which needs no content.

    Raises:
        ValueError: FCM would refuse it; says why.
    """
    try:
        request = _decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    message, dry_run = request.message, request.validate_only
    problems = [*([] if dry_run else _check_data(message)), *_check_delivery(message)]
    if problems:
        raise ValueError("; ".join(problems))
    return message, dry_run


def _check_data(message: Message) -> list[str]:
    problems = [f"data key {key!r} is reserved" for key in message.data if _RESERVED.fullmatch(key)]
    size = len(_encode(message.notification)) + len(_encode(message.data))
    if size > MAX_PAYLOAD:
        problems.append(f"payload of {size} bytes")
    if not message.data.get("notification_id"):
        problems.append("data.notification_id is missing: the request cannot be traced")
    return problems


def _check_delivery(message: Message) -> list[str]:
    problems = []
    android = message.android
    if android and android.priority.lower() not in {"", "normal", "high"}:
        problems.append("android.priority")
    if android and android.ttl and not _TTL.fullmatch(android.ttl):
        problems.append("android.ttl")
    if message.apns and len(message.apns.headers.get("apns-collapse-id", "").encode()) > 64:
        problems.append("apns-collapse-id over 64 bytes")
    topic = message.webpush.headers.get("Topic") if message.webpush else None
    if topic is not None and not _TOPIC.fullmatch(topic):
        problems.append("webpush Topic (RFC 8030)")
    return problems
