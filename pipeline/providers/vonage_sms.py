"""Vonage's SMS API: one form POST an SMS, answered with 200 and a ``status`` for each of its parts."""

from base64 import b64encode
from functools import partial
from urllib.parse import urlencode

import msgspec

from pipeline.config import VonageSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.providers.http import Answer
from pipeline.providers.sms import SmsMessage
from pipeline.providers.table import Row, by_status
from pipeline.providers.vonage_request import MOST_CALLBACK, NAME, Request, plain_number, ttl_within

BASE_URL = "https://rest.nexmo.com"

_CODES = "https://developer.vonage.com/en/api-errors/sms"
_HTTP = "https://developer.vonage.com/en/api-errors"

STATUSES: dict[str, Row] = {
    "1": Row(Outcome.THROTTLED, _CODES),
    "2": Row(Outcome.PERMANENT, _CODES),
    "3": Row(Outcome.PERMANENT, _CODES),
    "4": Row(Outcome.CONFIGURATION, _CODES, Scope.ACCOUNT),
    "5": Row(Outcome.TRANSIENT, _CODES),
    "6": Row(Outcome.PERMANENT, _CODES),
    "7": Row(Outcome.INVALID_RECIPIENT, _CODES),
    "8": Row(Outcome.CONFIGURATION, _CODES, Scope.ACCOUNT),
    "9": Row(Outcome.CONFIGURATION, _CODES, Scope.ACCOUNT),
    "10": Row(Outcome.THROTTLED, _CODES),
    "11": Row(Outcome.CONFIGURATION, _CODES, Scope.ACCOUNT),
    "12": Row(Outcome.PERMANENT, _CODES),
    "14": Row(Outcome.CONFIGURATION, _CODES, Scope.ACCOUNT),
    "15": Row(Outcome.CONFIGURATION, _CODES, Scope.MESSAGE),
    "22": Row(Outcome.PERMANENT, _CODES),
    "23": Row(Outcome.CONFIGURATION, _CODES),
    "29": Row(Outcome.CONFIGURATION, _CODES, Scope.MESSAGE),
    "32": Row(Outcome.CONFIGURATION, _CODES, Scope.ACCOUNT),
    "33": Row(Outcome.INVALID_RECIPIENT, _CODES),
}
"""By the ``status`` of a part. 15 and 29 are about one destination: the account goes on with the others."""

HTTP_STATUSES: dict[int, Row] = {
    400: Row(Outcome.PERMANENT, _HTTP),
    401: Row(Outcome.CONFIGURATION, _HTTP, Scope.ACCOUNT),
    403: Row(Outcome.CONFIGURATION, _HTTP, Scope.ACCOUNT),
    404: Row(Outcome.CONFIGURATION, _HTTP, Scope.ACCOUNT),
    429: Row(Outcome.THROTTLED, _HTTP),
    500: Row(Outcome.TRANSIENT, _HTTP),
    503: Row(Outcome.TRANSIENT, _HTTP),
}
"""By HTTP status, where it is not 200."""

UNKNOWN_STATUS = Row(Outcome.PERMANENT, _CODES)
"""A part's status that no row has: it was refused, and nothing says that it would not be again."""


class _Part(msgspec.Struct):
    status: str = ""
    message_id: str = msgspec.field(default="", name="message-id")


class _Reply(msgspec.Struct):
    messages: list[_Part] = []


_decode = msgspec.json.Decoder(_Reply).decode


def classify(answer: Answer) -> SendResult:
    """What an answer means, over all parts of the SMS.

    Where Vonage took some parts and not the others, AMBIGUOUS: the person has a fragment, and sending again would send
    that again.
    """
    result = partial(SendResult, provider=NAME)
    if answer.status != 200:
        outcome, scope = by_status(HTTP_STATUSES, answer.status)
        return result(outcome=outcome, error=str(answer.status), scope=scope, retry_after=answer.retry_after)
    try:
        parts = _decode(answer.body).messages
    except msgspec.DecodeError:
        parts = []
    if not parts or not all(part.status for part in parts):
        return result(outcome=Outcome.AMBIGUOUS, error="unreadable_answer")
    refused = [part.status for part in parts if part.status != "0"]
    if not refused:
        return result(outcome=Outcome.ACCEPTED, message_id=parts[0].message_id)
    if len(refused) < len(parts):
        return result(outcome=Outcome.AMBIGUOUS, error=f"some_parts_{refused[0]}", message_id=parts[0].message_id)
    row = STATUSES.get(refused[0], UNKNOWN_STATUS)
    return result(outcome=row.outcome, error=refused[0], scope=row.scope)


class SmsApi:
    """How the SMS API is asked, for one account."""

    def __init__(self, settings: VonageSettings) -> None:
        """Check the account's settings.

        Raises:
            ConfigurationError: one is missing.
        """
        self._key, self._secret = settings.api_key, settings.api_secret.get_secret_value()
        required = {"api_key": self._key, "api_secret": self._secret}
        if missing := [name for name, value in required.items() if not value]:
            raise ConfigurationError(
                f"set {', '.join('providers.vonage.' + name for name in missing)} to send SMS through its SMS API"
            )
        self._base = settings.base_url.rstrip("/") or BASE_URL

    def send_request(self, message: SmsMessage) -> Request:
        """``POST /sms/json``."""
        body = send_form(message, self._key, self._secret)
        return Request("POST", f"{self._base}/sms/json", body, {"Content-Type": "application/x-www-form-urlencoded"})

    def check_request(self) -> Request:
        """Asks for the balance, with the secret in a header: an address is logged on the way."""
        credentials = b64encode(f"{self._key}:{self._secret}".encode()).decode()
        return Request("GET", f"{self._base}/account/get-balance", b"", {"Authorization": f"Basic {credentials}"})

    def classify(self, answer: Answer) -> SendResult:
        return classify(answer)

    def classify_check(self, answer: Answer) -> SendResult:
        """What the answer to `check_request` means."""
        if answer.status == 200:
            return SendResult(outcome=Outcome.ACCEPTED, provider=NAME)
        return classify(answer)


def send_form(message: SmsMessage, key: str, secret: str) -> bytes:
    """The form of ``POST /sms/json``. ``client-ref`` comes back in every receipt."""
    form = {
        "api_key": key,
        "api_secret": secret,
        "from": plain_number(message.sender),
        "to": plain_number(message.to),
        "text": message.text,
        "type": "text" if message.is_gsm else "unicode",
        "client-ref": message.notification_id,
        "status-report-req": "true",
    }
    if message.ttl is not None:
        form["ttl"] = str(ttl_within(message.ttl) * 1000)
    if len(message.status_callback) <= MOST_CALLBACK:
        form["callback"] = message.status_callback
    return urlencode(form).encode()
