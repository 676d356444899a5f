"""SendGrid, Web API v3: one mail a request."""

import time
from functools import partial

import aiohttp
import msgspec
from yarl import URL

from pipeline.config import SendGridSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.providers.http import Answer, open_session, post, request
from pipeline.providers.mail import MailMessage
from pipeline.providers.table import Row

NAME = "sendgrid"

_ERRORS = "https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/errors"
_SEND = "https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send#responses"
_LIMITS = "https://www.twilio.com/docs/sendgrid/api-reference/how-to-use-the-sendgrid-v3-api/rate-limits"
_HTTP = "https://www.rfc-editor.org/rfc/rfc9110#section-15"

STATUSES: dict[int, Row] = {
    400: Row(Outcome.PERMANENT, _SEND),
    401: Row(Outcome.CONFIGURATION, _SEND, Scope.ACCOUNT),
    403: Row(Outcome.CONFIGURATION, _SEND),
    404: Row(Outcome.CONFIGURATION, _SEND),
    405: Row(Outcome.CONFIGURATION, _SEND),
    406: Row(Outcome.CONFIGURATION, _ERRORS),
    408: Row(Outcome.TRANSIENT, _HTTP),
    413: Row(Outcome.PERMANENT, _SEND),
    429: Row(Outcome.THROTTLED, _LIMITS),
    500: Row(Outcome.TRANSIENT, _SEND),
    502: Row(Outcome.TRANSIENT, _HTTP),
    503: Row(Outcome.TRANSIENT, _HTTP),
    504: Row(Outcome.TRANSIENT, _HTTP),
}
"""By HTTP status: SendGrid has no error codes, only texts. A used-up plan is a 401, an unverified sender a 403."""

SCOPE = "mail.send"
"""What the API key must be allowed."""

_encode = msgspec.json.Encoder().encode


class _Scopes(msgspec.Struct):
    scopes: list[str] = []


class _Error(msgspec.Struct):
    field: str | None = None


class _Errors(msgspec.Struct):
    errors: list[_Error] = []


_decode_errors = msgspec.json.Decoder(_Errors).decode
_decode_scopes = msgspec.json.Decoder(_Scopes).decode


def classify(answer: Answer, *, now: float) -> SendResult:
    """What an answer means; `now` in seconds since 1970. `error` is the status: the texts quote addresses."""
    if answer.status == 202:
        message_id = answer.headers.get("X-Message-Id", "")
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME, message_id=message_id)
    if answer.status < 300:  # 200 is the sandbox's answer, or a proxy's
        return SendResult(outcome=Outcome.AMBIGUOUS, provider=NAME, error="unreadable_answer")
    result = partial(SendResult, provider=NAME, error=str(answer.status))
    if answer.status == 429:
        return result(outcome=Outcome.THROTTLED, retry_after=_wait(answer, now))
    outcome, scope = _by_status(answer.status)
    if answer.status == 403 and _is_about_the_sender(answer.body):
        scope = Scope.MESSAGE
    return result(outcome=outcome, retry_after=answer.retry_after, scope=scope)


def _is_about_the_sender(body: bytes) -> bool:
    """A 403 that names the field ``from``: that sender is not verified. The account goes on with other senders."""
    try:
        return any(error.field == "from" for error in _decode_errors(body).errors)
    except msgspec.DecodeError:
        return False


def _wait(answer: Answer, now: float) -> float | None:
    """Seconds until the limit is reset: ``X-RateLimit-Reset`` is a time, in seconds since 1970."""
    reset = answer.headers.get("X-RateLimit-Reset", "")
    if answer.retry_after is None and reset.isascii() and reset.isdigit():
        return max(0.0, float(reset[:12]) - now)
    return answer.retry_after


def _by_status(status: int) -> tuple[Outcome, Scope]:
    if row := STATUSES.get(status):
        return row.outcome, row.scope
    if status >= 500:
        return Outcome.TRANSIENT, Scope.UNKNOWN
    return Outcome.PERMANENT if status >= 400 else Outcome.CONFIGURATION, Scope.UNKNOWN


class SendGrid:
    """A client for one account."""

    name = NAME

    def __init__(self, settings: SendGridSettings, *, timeout: float) -> None:
        """Check the account's settings.

        Raises:
            ConfigurationError: there is no API key.
        """
        key = settings.api_key.get_secret_value()
        if not key:
            raise ConfigurationError("set providers.sendgrid.api_key to send through SendGrid")
        base = settings.base_url.rstrip("/")
        self._url = URL(f"{base}/v3/mail/send", encoded=True)
        self._scopes_url = URL(f"{base}/v3/scopes", encoded=True)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._pools = settings.ip_pools
        self._tracking = settings.tracking
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = open_session(timeout=self._timeout)

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def send(self, mail: MailMessage) -> SendResult:
        """See `pipeline.providers.mail.MailProvider.send`."""
        assert self._session is not None, "start() comes first"
        body = send_body(mail, ip_pool=self._pools.get(mail.pool, ""), tracking=self._tracking)
        answer = await post(self._session, self._url, body, self._headers)
        if isinstance(answer, Answer):
            return classify(answer, now=time.time())
        return SendResult(outcome=answer.outcome, provider=NAME, error=answer.error, scope=answer.scope)

    async def check(self) -> SendResult:
        """See `pipeline.providers.mail.MailProvider.check`: asks what the key may do."""
        assert self._session is not None, "start() comes first"
        answer = await request(self._session, "GET", self._scopes_url, b"", self._headers)
        if not isinstance(answer, Answer):
            return SendResult(outcome=answer.outcome, provider=NAME, error=answer.error, scope=answer.scope)
        if answer.status != 200:
            return classify(answer, now=time.time())
        try:
            allowed = SCOPE in _decode_scopes(answer.body).scopes
        except msgspec.DecodeError:
            return SendResult(outcome=Outcome.CONFIGURATION, provider=NAME, error="unreadable_answer")
        if not allowed:
            return SendResult(outcome=Outcome.CONFIGURATION, provider=NAME, error="scope_mail_send_missing")
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME)


def send_body(mail: MailMessage, *, ip_pool: str = "", tracking: bool = False) -> bytes:
    """The JSON of ``POST /v3/mail/send``; the custom arguments come back in every event webhook about the mail."""
    content = [{"type": "text/plain", "value": mail.text}] if mail.text else []
    body: dict[str, object] = {
        "personalizations": [{"to": [{"email": mail.recipient}], "custom_args": _arguments(mail)}],
        "from": {"email": mail.sender, **({"name": mail.sender_name} if mail.sender_name else {})},
        "subject": mail.subject,
        "content": [*content, {"type": "text/html", "value": mail.html}],
        "headers": dict(mail.headers),
        "categories": list(dict.fromkeys((mail.category[:255], mail.stream))),
        "tracking_settings": {
            "click_tracking": {"enable": tracking, "enable_text": False},
            "open_tracking": {"enable": tracking},
            "subscription_tracking": {"enable": False},
        },
    }
    if ip_pool:
        body["ip_pool_name"] = ip_pool
    return _encode(body)


def _arguments(mail: MailMessage) -> dict[str, str]:
    reference = {"notification_ref": mail.reference} if mail.reference else {}
    return {"notification_id": mail.notification_id, **reference}
