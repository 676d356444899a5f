"""What APNs refuses in a request, in its own words."""

import re
import uuid

import msgspec

MAX_PAYLOAD = 4096
MAX_COLLAPSE_ID = 64
PUSH_TYPES = frozenset(
    {"alert", "background", "controls", "location", "voip", "complication", "fileprovider", "mdm", "liveactivity"}
)

STATUS = {
    "BadCollapseId": 400,
    "BadDeviceToken": 400,
    "BadExpirationDate": 400,
    "BadMessageId": 400,
    "BadPriority": 400,
    "BadTopic": 400,
    "DeviceTokenNotForTopic": 400,
    "DuplicateHeaders": 400,
    "IdleTimeout": 400,
    "InvalidPushType": 400,
    "MissingDeviceToken": 400,
    "MissingTopic": 400,
    "PayloadEmpty": 400,
    "TopicDisallowed": 400,
    "BadCertificate": 403,
    "BadCertificateEnvironment": 403,
    "ExpiredProviderToken": 403,
    "Forbidden": 403,
    "InvalidProviderToken": 403,
    "MissingProviderToken": 403,
    "UnrelatedKeyIdInToken": 403,
    "BadEnvironmentKeyIdInToken": 403,
    "BadPath": 404,
    "MethodNotAllowed": 405,
    "ExpiredToken": 410,
    "Unregistered": 410,
    "PayloadTooLarge": 413,
    "TooManyProviderTokenUpdates": 429,
    "TooManyRequests": 429,
    "InternalServerError": 500,
    "ServiceUnavailable": 503,
    "Shutdown": 503,
}
"""https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns"""

_PATH = re.compile(r"/3/device/([^/]*)")
_TOKEN = re.compile(r"(?:[0-9a-fA-F]{2}){32,100}")
_KNOWN = frozenset(
    {
        *(
            ":method",
            ":scheme",
            ":path",
            ":authority",
            "host",
            "authorization",
            "apns-id",
            "apns-topic",
            "content-length",
        ),
        *("apns-push-type", "apns-priority", "apns-expiration", "apns-collapse-id", "content-type", "user-agent"),
    }
)


class ApnsRefusal(Exception):
    """`reason` is APNs's; `detail` is for people who look for the mistake."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class _Payload(msgspec.Struct):
    aps: dict[str, object]
    notification_id: str


_decode = msgspec.json.Decoder(_Payload).decode


def read_device(method: str, path: str) -> str:
    """The device token in the path.

    Raises:
        ApnsRefusal: there is none, or the request is for something else.
    """
    match = _PATH.fullmatch(path)
    if not match:
        raise ApnsRefusal("BadPath", path[:20])
    if method != "POST":
        raise ApnsRefusal("MethodNotAllowed", method)
    if not match[1]:
        raise ApnsRefusal("MissingDeviceToken")
    if not _TOKEN.fullmatch(match[1]):
        raise ApnsRefusal("BadDeviceToken", "not hexadecimal")
    return match[1]


def check_headers(all_headers: list[tuple[str, str]]) -> None:
    """Check all but topic and authorization.

    Raises:
        ApnsRefusal: one is wrong, twice there, or not one of APNs's.
    """
    headers = dict(all_headers)
    if len(headers) != len(all_headers):
        raise ApnsRefusal("DuplicateHeaders")
    if unknown := sorted(set(headers) - _KNOWN):
        raise ApnsRefusal("BadPath", f"unknown headers {unknown}")
    if not _is_uuid(headers.get("apns-id")):
        raise ApnsRefusal("BadMessageId")
    if headers.get("apns-push-type") not in PUSH_TYPES:
        raise ApnsRefusal("InvalidPushType")
    if headers.get("apns-priority", "10") not in {"1", "5", "10"}:
        raise ApnsRefusal("BadPriority")
    if not headers.get("apns-expiration", "0").isdigit():
        raise ApnsRefusal("BadExpirationDate")
    if len(headers.get("apns-collapse-id", "").encode()) > MAX_COLLAPSE_ID:
        raise ApnsRefusal("BadCollapseId")


def read_payload(body: bytes) -> str:
    """The notification's id in the payload.

    Raises:
        ApnsRefusal: it is empty, too large, no JSON object with ``aps``, or cannot be traced to its notification.
    """
    if len(body) > MAX_PAYLOAD:
        raise ApnsRefusal("PayloadTooLarge")
    try:
        payload = _decode(body)
    except msgspec.DecodeError as error:
        raise ApnsRefusal("PayloadEmpty", str(error)) from error
    if not payload.notification_id or not payload.aps:
        raise ApnsRefusal("PayloadEmpty", "no notification_id, or an empty aps")
    return payload.notification_id


def _is_uuid(text: str | None) -> bool:
    try:
        return text is None or str(uuid.UUID(text)) == text
    except ValueError:
        return False
