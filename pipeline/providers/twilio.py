"""Twilio Programmable Messaging: one form POST a message."""

from functools import partial
from urllib.parse import urlencode

import aiohttp
import msgspec
from yarl import URL

from pipeline.config import TwilioSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.providers.http import Answer, NoAnswer, open_session, post, request
from pipeline.providers.sms import SmsMessage, check_senders, senders_by_place
from pipeline.providers.table import Row, by_status

NAME = "twilio"

_DICTIONARY = "https://www.twilio.com/docs/api/errors/{}"
_HTTP = "https://www.twilio.com/docs/usage/troubleshooting/debugging-common-api-errors"


_WHOLE_ACCOUNT = frozenset({20003, 20005, 30002})
"""Refused credentials, a closed or suspended account."""

_ONE_DESTINATION = frozenset({21408, 21612})
"""A country that is not enabled, a sender that cannot reach this number."""


def _row(outcome: Outcome, code: int) -> tuple[int, Row]:
    scope = Scope.ACCOUNT if code in _WHOLE_ACCOUNT else Scope.MESSAGE if code in _ONE_DESTINATION else Scope.UNKNOWN
    return code, Row(outcome, _DICTIONARY.format(code), scope)


ERROR_CODES: dict[int, Row] = dict(
    [
        *(_row(Outcome.INVALID_RECIPIENT, code) for code in (21211, 21214, 21217, 21610, 21614, 30005, 30006)),
        *(_row(Outcome.THROTTLED, code) for code in (14107, 20429, 30001)),
        *(_row(Outcome.TRANSIENT, code) for code in (30003, 30008)),
        *(_row(Outcome.PERMANENT, code) for code in (21602, 21617, 30004, 30007)),
        *(
            _row(Outcome.CONFIGURATION, code)
            for code in (20003, 20005, 21212, 21408, 21603, 21606, 21612, 21659, 21660, 21703, 30002, 30034)
        ),
    ]
)
"""By the ``code`` of the answer; comes before the HTTP status."""

STATUSES: dict[int, Row] = {
    400: Row(Outcome.PERMANENT, _HTTP),
    401: Row(Outcome.CONFIGURATION, _HTTP, Scope.ACCOUNT),
    403: Row(Outcome.CONFIGURATION, _HTTP, Scope.ACCOUNT),
    404: Row(Outcome.CONFIGURATION, _HTTP, Scope.ACCOUNT),
    408: Row(Outcome.TRANSIENT, _HTTP),
    429: Row(Outcome.THROTTLED, _HTTP),
    500: Row(Outcome.TRANSIENT, _HTTP),
    502: Row(Outcome.TRANSIENT, _HTTP),
    503: Row(Outcome.TRANSIENT, _HTTP),
    504: Row(Outcome.TRANSIENT, _HTTP),
}
"""By HTTP status, where the answer has no known code. A 404 is a wrong account SID or address."""

LONGEST_VALIDITY = 36_000
"""Seconds, also what holds where none is named: https://www.twilio.com/docs/messaging/api/message-resource"""

OPTED_OUT = "21610"
"""The person has answered STOP."""


class _Reply(msgspec.Struct):
    sid: str = ""
    code: int | None = None


class _Account(msgspec.Struct):
    status: str = ""


_decode = msgspec.json.Decoder(_Reply).decode
_decode_account = msgspec.json.Decoder(_Account).decode


def classify(answer: Answer) -> SendResult:
    """What an answer means."""
    try:
        reply = _decode(answer.body)
    except msgspec.DecodeError:
        reply = _Reply()
    if answer.status in {200, 201}:
        return _accepted(reply)
    result = partial(SendResult, provider=NAME, retry_after=answer.retry_after)
    if reply.code is not None and (row := ERROR_CODES.get(reply.code)):
        return result(outcome=row.outcome, error=str(reply.code), scope=row.scope)
    outcome, scope = by_status(STATUSES, answer.status)
    return result(outcome=outcome, error=str(reply.code or answer.status), scope=scope)


def _accepted(reply: _Reply) -> SendResult:
    """A success without a message SID is not Twilio speaking: a proxy, perhaps after Twilio had accepted."""
    if reply.sid:
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME, message_id=reply.sid)
    return SendResult(outcome=Outcome.AMBIGUOUS, provider=NAME, error="unreadable_answer")


class Twilio:
    """A client for one Twilio account."""

    name = NAME
    opted_out = frozenset({OPTED_OUT})

    def __init__(self, settings: TwilioSettings, *, timeout: float) -> None:
        """Check the account's settings.

        Raises:
            ConfigurationError: one is missing or wrong.
        """
        token = settings.auth_token.get_secret_value()
        sender = settings.from_number or settings.senders
        required = {"account_sid": settings.account_sid, "auth_token": token, "from_number": sender}
        if missing := [name for name, value in required.items() if not value]:
            raise ConfigurationError(f"set {', '.join('providers.twilio.' + name for name in missing)} to send SMS")
        places = senders_by_place(settings.from_number, settings.senders)
        check_senders(NAME, {where: sender for where, sender in places.items() if not _is_service(sender)})
        account = f"{settings.base_url.rstrip('/')}/2010-04-01/Accounts/{settings.account_sid}"
        self._url = URL(f"{account}/Messages.json", encoded=True)
        self._account_url = URL(f"{account}.json", encoded=True)
        self._authorization = {"Authorization": aiohttp.encode_basic_auth(settings.account_sid, token)}
        self._headers = {**self._authorization, "Content-Type": "application/x-www-form-urlencoded"}
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = open_session(timeout=self._timeout)

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def send(self, message: SmsMessage) -> SendResult:
        """See `pipeline.providers.sms.SmsProvider.send`."""
        assert self._session is not None, "start() comes first"
        answer = await post(self._session, self._url, send_form(message), self._headers)
        return classify(answer) if isinstance(answer, Answer) else _lost(answer)

    async def check(self) -> SendResult:
        """See `pipeline.providers.sms.SmsProvider.check`: asks for the account, which must be active."""
        assert self._session is not None, "start() comes first"
        answer = await request(self._session, "GET", self._account_url, b"", self._authorization)
        if isinstance(answer, NoAnswer):
            return _lost(answer)
        if answer.status != 200:
            return classify(answer)
        try:
            status = _decode_account(answer.body).status or "unreadable_answer"
        except msgspec.DecodeError:
            status = "unreadable_answer"
        if status == "active":
            return SendResult(outcome=Outcome.ACCEPTED, provider=NAME)
        return SendResult(outcome=Outcome.CONFIGURATION, provider=NAME, error=status)


def send_form(message: SmsMessage) -> bytes:
    """The form of ``POST …/Messages.json``; receipts go to the callback, which names the notification."""
    sender = {"MessagingServiceSid" if _is_service(message.sender) else "From": message.sender}
    form = {"To": message.to, **sender, "Body": message.text, "StatusCallback": message.status_callback}
    if message.ttl is not None:
        form["ValidityPeriod"] = str(min(message.ttl, LONGEST_VALIDITY))
    return urlencode(form).encode()


def _is_service(sender: str) -> bool:
    return sender.startswith("MG") and len(sender) == len("MG") + 32


def _lost(answer: NoAnswer) -> SendResult:
    return SendResult(outcome=answer.outcome, provider=NAME, error=answer.error, scope=answer.scope)
