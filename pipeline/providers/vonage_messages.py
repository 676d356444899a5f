"""Vonage's Messages API: one JSON POST an SMS, authorised by a JWT of the application."""

from functools import partial

import msgspec

from pipeline.config import VonageSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.providers.http import Answer
from pipeline.providers.sms import SmsMessage
from pipeline.providers.table import Row, by_status
from pipeline.providers.vonage_request import NAME, Request, plain_number, ttl_within
from pipeline.providers.vonage_token import ApplicationToken

BASE_URL = "https://api.nexmo.com"

_CODES = "https://developer.vonage.com/en/api-errors/messages"
_GENERIC = "https://developer.vonage.com/en/api-errors"

ERROR_CODES: dict[str, Row] = {
    "1000": Row(Outcome.THROTTLED, _CODES),
    "1010": Row(Outcome.PERMANENT, _CODES),
    "1020": Row(Outcome.PERMANENT, _CODES),
    "1021": Row(Outcome.PERMANENT, _CODES),
    "1022": Row(Outcome.PERMANENT, _CODES),
    "1030": Row(Outcome.TRANSIENT, _CODES),
    "1040": Row(Outcome.PERMANENT, _CODES),
    "1050": Row(Outcome.INVALID_RECIPIENT, _CODES),
    "1060": Row(Outcome.CONFIGURATION, _CODES, Scope.ACCOUNT),
    "1070": Row(Outcome.CONFIGURATION, _CODES, Scope.ACCOUNT),
    "1080": Row(Outcome.CONFIGURATION, _CODES, Scope.ACCOUNT),
    "1090": Row(Outcome.PERMANENT, _CODES),
    "1100": Row(Outcome.TRANSIENT, _CODES),
    "1120": Row(Outcome.CONFIGURATION, _CODES, Scope.MESSAGE),
    "1130": Row(Outcome.PERMANENT, _CODES),
    "1140": Row(Outcome.CONFIGURATION, _CODES),
    "1150": Row(Outcome.PERMANENT, _CODES),
    "1160": Row(Outcome.CONFIGURATION, _CODES, Scope.MESSAGE),
    "low-balance": Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    "unauthorized": Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    "forbidden": Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    "not-found": Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    "unprovisioned": Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    "account-suspended": Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    "jwt-expired": Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    "jwt-revoked": Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    "invalid-api-key": Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    "invalid-signature": Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    "invalid-params": Row(Outcome.PERMANENT, _GENERIC),
}
"""By what stands behind the ``#`` of an error's ``type``; comes before the HTTP status.

1120 and 1160 are about one destination: the account goes on with the others.
"""

HTTP_STATUSES: dict[int, Row] = {
    400: Row(Outcome.PERMANENT, _GENERIC),
    401: Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    402: Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    403: Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    404: Row(Outcome.CONFIGURATION, _GENERIC, Scope.ACCOUNT),
    422: Row(Outcome.PERMANENT, _GENERIC),
    429: Row(Outcome.THROTTLED, _GENERIC),
    500: Row(Outcome.TRANSIENT, _GENERIC),
    503: Row(Outcome.TRANSIENT, _GENERIC),
}
"""By HTTP status, where the answer names no known error."""


class _Reply(msgspec.Struct):
    message_uuid: str = ""
    type: str = ""


_decode = msgspec.json.Decoder(_Reply).decode
_encode = msgspec.json.Encoder().encode


def classify(answer: Answer) -> SendResult:
    """What an answer means. `error` is the error's name or the status: never the text, it may quote the request."""
    try:
        reply = _decode(answer.body)
    except msgspec.DecodeError:
        reply = _Reply()
    if answer.status < 300:
        return _accepted(reply)
    result = partial(SendResult, provider=NAME, retry_after=answer.retry_after)
    code = reply.type.rpartition("#")[2]
    if row := ERROR_CODES.get(code):
        return result(outcome=row.outcome, error=code, scope=row.scope)
    outcome, scope = by_status(HTTP_STATUSES, answer.status)
    return result(outcome=outcome, error=str(answer.status), scope=scope)


def _accepted(reply: _Reply) -> SendResult:
    """A success without a message id is not Vonage speaking: a proxy, perhaps after Vonage had accepted."""
    if reply.message_uuid:
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME, message_id=reply.message_uuid)
    return SendResult(outcome=Outcome.AMBIGUOUS, provider=NAME, error="unreadable_answer")


class MessagesApi:
    """How the Messages API is asked, for one application."""

    def __init__(self, settings: VonageSettings) -> None:
        """Check the application's settings and read its key.

        Raises:
            ConfigurationError: one is missing, or the key cannot be read.
        """
        required = {"application_id": settings.application_id, "private_key": settings.private_key}
        if missing := [name for name, value in required.items() if not value]:
            names = ", ".join("providers.vonage." + name for name in missing)
            raise ConfigurationError(f"set {names} to send SMS through its Messages API")
        assert settings.private_key is not None
        self._token = ApplicationToken(settings.private_key, settings.application_id)
        self._url = (settings.base_url.rstrip("/") or BASE_URL) + "/v1/messages"

    def send_request(self, message: SmsMessage) -> Request:
        """``POST /v1/messages``."""
        return self._request(send_body(message))

    def check_request(self) -> Request:
        """A message that says nothing to nobody: refused with 422 whoever asks, once the JWT was taken."""
        return self._request(b"{}")

    def _request(self, body: bytes) -> Request:
        headers = {"Authorization": self._token.header(), "Content-Type": "application/json"}
        return Request("POST", self._url, body, headers)

    def classify(self, answer: Answer) -> SendResult:
        return classify(answer)

    def classify_check(self, answer: Answer) -> SendResult:
        """What the answer to `check_request` means."""
        if answer.status == 422:
            return SendResult(outcome=Outcome.ACCEPTED, provider=NAME)
        return classify(answer)


def send_body(message: SmsMessage) -> bytes:
    """The JSON of ``POST /v1/messages``. ``client_ref`` comes back in every receipt."""
    return _encode(
        {
            "channel": "sms",
            "message_type": "text",
            "to": plain_number(message.to),
            "from": plain_number(message.sender),
            "text": message.text,
            "client_ref": message.notification_id,
            "webhook_url": message.status_callback,
            "webhook_version": "v1",
            "sms": {"encoding_type": "text" if message.is_gsm else "unicode"},
            **({} if message.ttl is None else {"ttl": ttl_within(message.ttl)}),
        }
    )
