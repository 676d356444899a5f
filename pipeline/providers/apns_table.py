"""What an answer of APNs means: by the reason in its body, else by its status."""

from functools import partial

import msgspec

from pipeline.providers.apns_http2 import ApnsAnswer
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.http import parse_retry_after
from pipeline.providers.table import Row

NAME = "apns"

_PAGE = "https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns"


def _rows(outcome: Outcome, *reasons: str) -> dict[str, Row]:
    return {reason: Row(outcome, _PAGE) for reason in reasons}


REASONS: dict[str, Row] = {
    **_rows(Outcome.INVALID_RECIPIENT, "Unregistered", "ExpiredToken", "BadDeviceToken", "DeviceTokenNotForTopic"),
    **_rows(Outcome.THROTTLED, "TooManyRequests", "TooManyProviderTokenUpdates"),
    **_rows(
        Outcome.TRANSIENT,
        *("InternalServerError", "ServiceUnavailable", "Shutdown", "IdleTimeout", "ExpiredProviderToken"),
    ),
    **_rows(
        Outcome.PERMANENT,
        *("BadCollapseId", "BadExpirationDate", "BadMessageId", "BadPriority", "DuplicateHeaders", "InvalidPushType"),
        *("MissingDeviceToken", "PayloadEmpty", "PayloadTooLarge"),
    ),
    **_rows(
        Outcome.CONFIGURATION,
        *("BadTopic", "MissingTopic", "TopicDisallowed", "BadCertificate", "BadCertificateEnvironment", "Forbidden"),
        *("InvalidProviderToken", "MissingProviderToken", "UnrelatedKeyIdInToken", "BadEnvironmentKeyIdInToken"),
        *("BadPath", "MethodNotAllowed"),
    ),
}
"""By ``reason``; comes before the status. `classify` says where a row has a condition."""

STATUSES: dict[int, Row] = {
    400: Row(Outcome.PERMANENT, _PAGE),
    403: Row(Outcome.CONFIGURATION, _PAGE),
    404: Row(Outcome.CONFIGURATION, _PAGE),
    405: Row(Outcome.CONFIGURATION, _PAGE),
    410: Row(Outcome.INVALID_RECIPIENT, _PAGE),
    413: Row(Outcome.PERMANENT, _PAGE),
    429: Row(Outcome.THROTTLED, _PAGE),
    500: Row(Outcome.TRANSIENT, _PAGE),
    503: Row(Outcome.TRANSIENT, _PAGE),
}
"""By HTTP status, where the answer names no known reason."""

WRONG_PLACE = frozenset({"BadDeviceToken", "DeviceTokenNotForTopic"})
"""What a good token gets in the wrong environment, or under the wrong topic."""


class _Reply(msgspec.Struct):
    reason: str = ""
    timestamp: float | None = None


_decode = msgspec.json.Decoder(_Reply).decode


def classify(answer: ApnsAnswer, *, place_proven: bool, now: float) -> SendResult:
    """What an answer means; `now` in epoch seconds.

    `place_proven`: this environment has accepted messages under this topic. Without that, `WRONG_PLACE` says that
    our settings are wrong, and pruning would empty the device registry.
    """
    if answer.status == 200:
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME, message_id=answer.header("apns-id"))
    reply = _read(answer.body)
    waits = answer.header("retry-after")
    result = partial(SendResult, provider=NAME, retry_after=parse_retry_after(waits, now) if waits else None)
    row = REASONS.get(reply.reason)
    if row is None:
        return result(outcome=_by_status(answer.status), error=str(answer.status), dead_since=_seconds(reply))
    if reply.reason in WRONG_PLACE and not place_proven:
        return result(outcome=Outcome.CONFIGURATION, error=reply.reason)
    return result(outcome=row.outcome, error=reply.reason, dead_since=_seconds(reply))


def _read(body: bytes) -> _Reply:
    try:
        return _decode(body)
    except msgspec.DecodeError:
        return _Reply()


def _seconds(reply: _Reply) -> float | None:
    return None if reply.timestamp is None else reply.timestamp / 1000


def _by_status(status: int) -> Outcome:
    if row := STATUSES.get(status):
        return row.outcome
    if status >= 500:
        return Outcome.TRANSIENT
    return Outcome.PERMANENT if status >= 400 else Outcome.CONFIGURATION
