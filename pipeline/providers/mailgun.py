"""Mailgun, API version 3: one form POST a mail."""

import re
from email.utils import formataddr
from functools import partial
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from pipeline.config import MailgunSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.providers.http import Answer, open_session, post
from pipeline.providers.mail import MailMessage
from pipeline.providers.table import Row

NAME = "mailgun"

_RESPONSES = "https://documentation.mailgun.com/docs/mailgun/quickstart-guide/responses"
_SEND = (
    "https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages/post-v3--domain-name--messages"
)
_HTTP = "https://www.rfc-editor.org/rfc/rfc9110#section-15"

STATUSES: dict[int, Row] = {
    400: Row(Outcome.PERMANENT, _SEND),
    401: Row(Outcome.CONFIGURATION, _SEND, Scope.ACCOUNT),
    403: Row(Outcome.CONFIGURATION, _RESPONSES),
    404: Row(Outcome.CONFIGURATION, _RESPONSES, Scope.MESSAGE),
    408: Row(Outcome.TRANSIENT, _HTTP),
    413: Row(Outcome.PERMANENT, _HTTP),
    429: Row(Outcome.THROTTLED, _SEND),
    500: Row(Outcome.TRANSIENT, _SEND),
    502: Row(Outcome.TRANSIENT, _HTTP),
    503: Row(Outcome.TRANSIENT, _HTTP),
    504: Row(Outcome.TRANSIENT, _HTTP),
}
"""By HTTP status: Mailgun has no error codes, only texts. A 404 is a domain that the account does not have;
it goes on with the others."""

_WAIT = re.compile(r"try again after (\d{1,6}) seconds?")
"""Where a 429 says how long, it does so in its text: `_SEND`."""

INCOMPLETE = "400"
"""What a message without a recipient is refused with, once key and domain are accepted."""

MAX_TAG = 128
"""Characters of a tag: https://documentation.mailgun.com/docs/mailgun/user-manual/tracking-messages/track-tagging"""


class _Reply(msgspec.Struct):
    id: str = ""
    message: str = ""


_decode = msgspec.json.Decoder(_Reply).decode


def classify(answer: Answer) -> SendResult:
    """What an answer means. `error` is the status: the texts quote addresses."""
    try:
        reply = _decode(answer.body)
    except msgspec.DecodeError:
        reply = _Reply()
    if answer.status < 300:
        return _accepted(reply)
    result = partial(SendResult, provider=NAME, error=str(answer.status))
    if answer.status == 429 and answer.retry_after is None and (asked := _WAIT.search(reply.message)):
        return result(outcome=Outcome.THROTTLED, retry_after=float(asked[1]))
    outcome, scope = _by_status(answer.status)
    return result(outcome=outcome, retry_after=answer.retry_after, scope=scope)


def _accepted(reply: _Reply) -> SendResult:
    """A success without a message id is not Mailgun speaking: a proxy, perhaps after Mailgun had accepted."""
    if reply.id:
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME, message_id=reply.id.strip("<>"))
    return SendResult(outcome=Outcome.AMBIGUOUS, provider=NAME, error="unreadable_answer")


def _by_status(status: int) -> tuple[Outcome, Scope]:
    if row := STATUSES.get(status):
        return row.outcome, row.scope
    if status >= 500:
        return Outcome.TRANSIENT, Scope.UNKNOWN
    return Outcome.PERMANENT if status >= 400 else Outcome.CONFIGURATION, Scope.UNKNOWN


class Mailgun:
    """A client for one account; which of its domains a mail goes out through, its sending pool says."""

    name = NAME

    def __init__(self, settings: MailgunSettings, *, timeout: float) -> None:
        """Check the account's settings.

        Raises:
            ConfigurationError: there is no API key, or no domain.
        """
        key = settings.api_key.get_secret_value()
        if not key:
            raise ConfigurationError("set providers.mailgun.api_key to send through Mailgun")
        if not settings.domains:
            raise ConfigurationError("set providers.mailgun.domains, as in {transactional: mail.example.com}")
        self._base = settings.base_url.rstrip("/")
        self._domains = settings.domains
        self._pools = settings.ip_pools
        self._tracking = settings.tracking
        self._headers = {
            "Authorization": aiohttp.encode_basic_auth("api", key),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = open_session(timeout=self._timeout)

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def send(self, mail: MailMessage) -> SendResult:
        """See `pipeline.providers.mail.MailProvider.send`."""
        domain = self._domains.get(mail.pool) or mail.sender.rpartition("@")[2]
        return await self._post(domain, send_form(mail, self._pools.get(mail.pool, ""), tracking=self._tracking))

    async def check(self) -> SendResult:
        """See `pipeline.providers.mail.MailProvider.check`: a message without a recipient, for each domain set.

        A domain's sending key may do nothing but send, so this is the only request that tells whether it is good:
        it is refused as `INCOMPLETE`, or before that with 401, 403 or 404.
        """
        for domain in dict.fromkeys(self._domains.values()):
            result = await self._post(domain, b"")
            if result.error != INCOMPLETE:
                return result
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME)

    async def _post(self, domain: str, form: bytes) -> SendResult:
        assert self._session is not None, "start() comes first"
        url = URL(f"{self._base}/v3/{quote(domain, safe='')}/messages", encoded=True)
        answer = await post(self._session, url, form, self._headers)
        if isinstance(answer, Answer):
            return classify(answer)
        return SendResult(outcome=answer.outcome, provider=NAME, error=answer.error, scope=answer.scope)


def send_form(mail: MailMessage, ip_pool: str = "", *, tracking: bool = False) -> bytes:
    """The form of ``POST /v3/{domain}/messages``; the variables come back in every webhook about the mail."""
    fields = [
        ("from", formataddr((mail.sender_name, mail.sender), "utf-8")),
        ("to", mail.recipient),
        ("subject", mail.subject),
        *([("text", mail.text)] if mail.text else []),
        ("html", mail.html),
        *((f"h:{name}", value) for name, value in mail.headers),
        ("v:notification_id", mail.notification_id),
        *([("v:notification_ref", mail.reference)] if mail.reference else []),
        *(("o:tag", tag) for tag in dict.fromkeys((mail.category[:MAX_TAG], mail.stream))),
        ("o:tracking", "yes" if tracking else "no"),
        *([("o:sending-ip-pool", ip_pool)] if ip_pool else []),
    ]
    return urlencode(fields).encode()
