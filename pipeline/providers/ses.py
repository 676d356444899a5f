"""Amazon SES, API version 2: one raw message a request."""

import base64
from collections.abc import Mapping
from itertools import count, takewhile

import aiohttp
import msgspec
from yarl import URL

from pipeline.config import SesSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.aws import AwsSigner, Keys
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.http import Answer, NoAnswer, open_session, request
from pipeline.providers.mail import MailMessage
from pipeline.providers.ses_table import NAME, classify

_SEND = "/v2/email/outbound-emails"
_ACCOUNT = "/v2/email/account"

REFERENCE_TAG = "notification_ref"
MAX_TAG = 256
"""Characters of a tag's value: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MessageTag.html"""

_encode = msgspec.json.Encoder().encode


class _Account(msgspec.Struct):
    sending: bool = msgspec.field(default=False, name="SendingEnabled")


_decode_account = msgspec.json.Decoder(_Account).decode


class Ses:
    """A client for one account in one region.

    The mail is handed over as MIME, so that it is the same through SES as through a relay; SES gives it a Date and a
    Message-ID of its own (https://docs.aws.amazon.com/ses/latest/dg/header-fields.html).
    """

    name = NAME

    def __init__(self, settings: SesSettings, *, timeout: float) -> None:
        """Check the account's settings.

        Raises:
            ConfigurationError: one is missing.
        """
        secret = settings.secret_access_key.get_secret_value()
        if not settings.region:
            raise ConfigurationError("set providers.ses.region to send through Amazon SES")
        if bool(settings.access_key_id) != bool(secret):
            raise ConfigurationError("set both providers.ses.access_key_id and providers.ses.secret_access_key")
        keys = Keys(settings.access_key_id, secret, settings.session_token.get_secret_value()) if secret else None
        self._signer = AwsSigner("ses", settings.region, keys)
        self._base = settings.base_url.rstrip("/") or f"https://email.{settings.region}.amazonaws.com"
        self._sets = settings.configuration_sets
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Find the credentials.

        Raises:
            ConfigurationError: there are none.
        """
        await self._signer.load()
        self._session = open_session(timeout=self._timeout)

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def send(self, mail: MailMessage) -> SendResult:
        """See `pipeline.providers.mail.MailProvider.send`."""
        answer = await self._request("POST", _SEND, send_body(mail, self._sets.get(mail.pool, "")))
        if isinstance(answer, Answer):
            return classify(answer)
        return SendResult(outcome=answer.outcome, provider=NAME, error=answer.error, scope=answer.scope)

    async def check(self) -> SendResult:
        """See `pipeline.providers.mail.MailProvider.check`: asks for the account's status."""
        answer = await self._request("GET", _ACCOUNT, b"")
        if not isinstance(answer, Answer):
            return SendResult(outcome=answer.outcome, provider=NAME, error=answer.error, scope=answer.scope)
        if answer.status != 200:
            return classify(answer)
        try:
            sending = _decode_account(answer.body).sending
        except msgspec.DecodeError:
            return SendResult(outcome=Outcome.CONFIGURATION, provider=NAME, error="unreadable_answer")
        if not sending:
            return SendResult(outcome=Outcome.CONFIGURATION, provider=NAME, error="SendingDisabled")
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME)

    async def _request(self, method: str, path: str, body: bytes) -> Answer | NoAnswer:
        assert self._session is not None, "start() comes first"
        url = self._base + path
        headers = await self._signer.sign(method, url, body, {"Content-Type": "application/json"} if body else {})
        return await request(self._session, method, URL(url, encoded=True), body, headers)


def send_body(mail: MailMessage, configuration_set: str) -> bytes:
    """The JSON of ``SendEmail``; the tags come back in every event that SES publishes about the mail."""
    tags = {
        "notification_id": mail.notification_id,
        "ses:feedback-id-a": mail.category,
        "ses:feedback-id-b": mail.stream,
        **reference_tags(mail.reference),
    }
    body = {
        "FromEmailAddress": mail.sender,
        "Destination": {"ToAddresses": [mail.recipient]},
        "Content": {"Raw": {"Data": base64.b64encode(mail.content).decode()}},
        "EmailTags": [{"Name": name, "Value": value} for name, value in tags.items()],
    }
    if configuration_set:
        body["ConfigurationSetName"] = configuration_set
    return _encode(body)


def reference_tags(reference: str) -> dict[str, str]:
    """A reference as tags: a tag's value has `MAX_TAG` characters at most. They are numbered from 1."""
    pieces = [reference[i : i + MAX_TAG] for i in range(0, len(reference), MAX_TAG)]
    return {f"{REFERENCE_TAG}-{number}": piece for number, piece in enumerate(pieces, start=1)}


def reference_of_tags(tags: Mapping[str, str]) -> str:
    """What `reference_tags` took apart; empty where there is none."""
    names = (f"{REFERENCE_TAG}-{number}" for number in count(1))
    return "".join(tags[name] for name in takewhile(tags.__contains__, names))
