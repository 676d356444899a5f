"""What an answer of a push service means (RFC 8030): by its status, since bodies differ from service to service."""

from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.http import Answer
from pipeline.providers.table import Row

NAME = "webpush"

_RFC = "https://www.rfc-editor.org/rfc/rfc8030#section-5"
_VAPID = "https://www.rfc-editor.org/rfc/rfc8292#section-4.2"
_AUTOPUSH = "https://mozilla-services.github.io/autopush-rs/http.html"
_WNS = (
    "https://learn.microsoft.com/en-us/windows/apps/design/shell/tiles-and-notifications/push-request-response-headers"
)
_HTTP = "https://www.rfc-editor.org/rfc/rfc9110#section-15"

ACCEPTED = frozenset({200, 201, 202, 204})
"""RFC 8030 says 201, or 202 where a receipt is asked for; services answer the others too."""

STATUSES: dict[int, Row] = {
    400: Row(Outcome.PERMANENT, _AUTOPUSH),
    401: Row(Outcome.CONFIGURATION, _VAPID),
    403: Row(Outcome.CONFIGURATION, _VAPID),
    404: Row(Outcome.INVALID_RECIPIENT, _RFC),
    406: Row(Outcome.THROTTLED, _WNS),
    408: Row(Outcome.TRANSIENT, _HTTP),
    410: Row(Outcome.INVALID_RECIPIENT, _AUTOPUSH),
    413: Row(Outcome.PERMANENT, _RFC),
    429: Row(Outcome.THROTTLED, _RFC),
    500: Row(Outcome.TRANSIENT, _HTTP),
    502: Row(Outcome.TRANSIENT, _HTTP),
    503: Row(Outcome.TRANSIENT, _AUTOPUSH),
    504: Row(Outcome.TRANSIENT, _HTTP),
}
"""By HTTP status."""


def classify(answer: Answer) -> SendResult:
    """What an answer means. The message's id is the last part of its ``Location``."""
    if answer.status in ACCEPTED:
        message_id = answer.headers.get("Location", "").rstrip("/").rpartition("/")[2][:100]
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME, message_id=message_id)
    return SendResult(
        outcome=_outcome(answer.status), provider=NAME, error=str(answer.status), retry_after=answer.retry_after
    )


def _outcome(status: int) -> Outcome:
    if row := STATUSES.get(status):
        return row.outcome
    if status >= 500:
        return Outcome.TRANSIENT
    return Outcome.PERMANENT if status >= 400 else Outcome.CONFIGURATION
