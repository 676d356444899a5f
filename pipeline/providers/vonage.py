"""Vonage, through whichever of its two APIs the account's settings name."""

from typing import Protocol

import aiohttp
from yarl import URL

from pipeline.config import VonageSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import SendResult
from pipeline.providers.http import Answer, NoAnswer, open_session, request
from pipeline.providers.sms import SmsMessage, check_senders, senders_by_place
from pipeline.providers.vonage_messages import MessagesApi
from pipeline.providers.vonage_request import NAME, Request
from pipeline.providers.vonage_sms import SmsApi

__all__ = ["NAME", "Vonage"]


class _Api(Protocol):
    """Pure: what to ask, and what an answer means."""

    def send_request(self, message: SmsMessage) -> Request: ...

    def check_request(self) -> Request: ...

    def classify(self, answer: Answer) -> SendResult: ...

    def classify_check(self, answer: Answer) -> SendResult: ...


class Vonage:
    """A client for one account."""

    name = NAME
    opted_out: frozenset[str] = frozenset()
    """None of its errors tells a STOP from any other barred number."""

    def __init__(self, settings: VonageSettings, *, timeout: float) -> None:
        """Check the account's settings.

        Raises:
            ConfigurationError: one is missing or wrong.
        """
        if not (settings.from_number or settings.senders):
            raise ConfigurationError("set providers.vonage.from_number or providers.vonage.senders to send SMS")
        check_senders(NAME, senders_by_place(settings.from_number, settings.senders))
        self._api: _Api = MessagesApi(settings) if settings.api == "messages" else SmsApi(settings)
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        self._session = open_session(timeout=self._timeout)

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    async def send(self, message: SmsMessage) -> SendResult:
        """See `pipeline.providers.sms.SmsProvider.send`."""
        answer = await self._ask(self._api.send_request(message))
        return self._api.classify(answer) if isinstance(answer, Answer) else _lost(answer)

    async def check(self) -> SendResult:
        """See `pipeline.providers.sms.SmsProvider.check`."""
        answer = await self._ask(self._api.check_request())
        return self._api.classify_check(answer) if isinstance(answer, Answer) else _lost(answer)

    async def _ask(self, asked: Request) -> Answer | NoAnswer:
        assert self._session is not None, "start() comes first"
        return await request(self._session, asked.method, URL(asked.url, encoded=True), asked.body, asked.headers)


def _lost(answer: NoAnswer) -> SendResult:
    return SendResult(outcome=answer.outcome, provider=NAME, error=answer.error, scope=answer.scope)
