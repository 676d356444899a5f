"""Sends receipts back: by each provider's webhook, signed, and again where the receiver is not there yet."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from pipeline.testing.receipts import OnReceipt, Receipt
from pipeline.testing.webhooks.signed import Signed, Signer

MAX_WAITING = 100_000
"""Receipts kept while the receiver is slow or away; further ones are dropped."""

SENDERS = 8
TRIES = 20
PAUSE = 0.5
TIMEOUT = aiohttp.ClientTimeout(total=10)


class ReceiptSender:
    """Sends to ``{url}/v1/webhooks/{provider}``. Use as an async context manager.

    `answers` counts what the receiver said, by status; 0: it was not there. `dropped`: receipts nobody has taken.
    """

    def __init__(self, url: str = "") -> None:
        """`url` empty: nobody is told, until it is set."""
        self.url = url
        self.answers: dict[int, int] = {}
        self.dropped = 0
        self._waiting: asyncio.Queue[Signed] = asyncio.Queue(MAX_WAITING)
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        self._tasks = [asyncio.create_task(self._send_all()) for _ in range(SENDERS)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    def by(self, signer: Signer) -> OnReceipt:
        """What a simulator calls for each message that it has accepted."""

        def tell(receipt: Receipt) -> None:
            self.tell(signer, receipt)

        return tell

    def tell(self, signer: Signer, receipt: Receipt) -> None:
        """Send `receipt` soon, in the background."""
        if not self.url:
            return
        with suppress(KeyError):  # the provider has no word for it
            self.put(signer.receipt(receipt, f"{self.url.rstrip('/')}/v1/webhooks/{signer.name}"))

    def put(self, signed: Signed) -> None:
        """Send a request soon, in the background."""
        try:
            self._waiting.put_nowait(signed)
        except asyncio.QueueFull:
            self.dropped += 1

    async def finish(self) -> None:
        """Wait until everything that was to be sent has been taken or given up."""
        await self._waiting.join()

    async def _send_all(self) -> None:
        while True:
            signed = await self._waiting.get()
            try:
                await self._send(signed)
            finally:
                self._waiting.task_done()

    async def _send(self, signed: Signed) -> None:
        for _ in range(TRIES):
            status = await self._post(signed.url, signed.headers, signed.body)
            self.answers[status] = self.answers.get(status, 0) + 1
            if 0 < status < 500:
                self.dropped += status >= 300
                return
            await asyncio.sleep(PAUSE)
        self.dropped += 1

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        assert self._session is not None, "it is a context manager"
        try:
            async with self._session.post(URL(url, encoded=True), data=body, headers=headers) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0
