"""Amazon SNS: ``Publish`` straight to a number, one form POST an SMS."""

from collections.abc import Mapping
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from pipeline.config import SnsSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.aws import AwsSigner, Keys
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.http import Answer, NoAnswer, open_session, request
from pipeline.providers.sms import SmsMessage, check_senders, is_number, senders_by_place
from pipeline.providers.sns_table import API_VERSION, NAME, OPTED_OUT, classify

__all__ = ["NAME", "Sns"]

_FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}

NUMBER_ATTRIBUTE = "AWS.MM.SMS.OriginationNumber"
NAME_ATTRIBUTE = "AWS.SNS.SMS.SenderID"
TYPE_ATTRIBUTE = "AWS.SNS.SMS.SMSType"
PRICE_ATTRIBUTE = "AWS.SNS.SMS.MaxPrice"
"""https://docs.aws.amazon.com/sns/latest/dg/sms_publish-to-phone.html"""


class Sns:
    """A client for one account in one region.

    SNS calls nobody back: what became of a message is in CloudWatch's logs alone.
    """

    name = NAME
    opted_out = frozenset({OPTED_OUT})

    def __init__(self, settings: SnsSettings, *, timeout: float) -> None:
        """Check the account's settings.

        Raises:
            ConfigurationError: one is missing or wrong.
        """
        secret = settings.secret_access_key.get_secret_value()
        if not settings.region:
            raise ConfigurationError("set providers.sns.region to send through Amazon SNS")
        if bool(settings.access_key_id) != bool(secret):
            raise ConfigurationError("set both providers.sns.access_key_id and providers.sns.secret_access_key")
        check_senders(NAME, senders_by_place(settings.from_number, settings.senders))
        keys = Keys(settings.access_key_id, secret, settings.session_token.get_secret_value()) if secret else None
        self._signer = AwsSigner("sns", settings.region, keys)
        self._url = (settings.base_url.rstrip("/") or f"https://sns.{settings.region}.amazonaws.com") + "/"
        self._max_price = settings.max_price
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._proven = False

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

    async def send(self, message: SmsMessage) -> SendResult:
        """See `pipeline.providers.sms.SmsProvider.send`."""
        answer = await self._ask(send_form(message, self._max_price))
        if not isinstance(answer, Answer):
            return _lost(answer)
        result = classify(answer, proven=self._proven)
        self._proven = self._proven or result.outcome is Outcome.ACCEPTED
        return result

    async def check(self) -> SendResult:
        """See `pipeline.providers.sms.SmsProvider.check`: asks for the account's SMS settings."""
        answer = await self._ask(urlencode({"Action": "GetSMSAttributes", "Version": API_VERSION}).encode())
        if not isinstance(answer, Answer):
            return _lost(answer)
        if answer.status == 200:
            return SendResult(outcome=Outcome.ACCEPTED, provider=NAME)
        return classify(answer, proven=self._proven)

    async def _ask(self, body: bytes) -> Answer | NoAnswer:
        assert self._session is not None, "start() comes first"
        headers = await self._signer.sign("POST", self._url, body, _FORM)
        return await request(self._session, "POST", URL(self._url, encoded=True), body, headers)


def send_form(message: SmsMessage, max_price: float | None = None) -> bytes:
    """The form of ``Publish``. The attribute ``notification_id`` is ours; SNS passes such over."""
    kind = "Promotional" if message.stream == "marketing" else "Transactional"
    attributes = {TYPE_ATTRIBUTE: kind, "notification_id": message.notification_id}
    if message.sender:
        attributes[NUMBER_ATTRIBUTE if is_number(message.sender) else NAME_ATTRIBUTE] = message.sender
    form = {"Action": "Publish", "Version": API_VERSION, "PhoneNumber": message.to, "Message": message.text}
    price = {PRICE_ATTRIBUTE: ("Number", f"{max_price:.5f}")} if max_price is not None else {}
    entries = {name: ("String", value) for name, value in attributes.items()} | price
    return urlencode({**form, **_entries(entries)}).encode()


def _entries(attributes: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """A map as the query protocol writes it: numbered entries."""
    form: dict[str, str] = {}
    for number, (name, (kind, value)) in enumerate(attributes.items(), 1):
        entry = f"MessageAttributes.entry.{number}"
        form |= {f"{entry}.Name": name, f"{entry}.Value.DataType": kind, f"{entry}.Value.StringValue": value}
    return form


def _lost(answer: NoAnswer) -> SendResult:
    return SendResult(outcome=answer.outcome, provider=NAME, error=answer.error, scope=answer.scope)
