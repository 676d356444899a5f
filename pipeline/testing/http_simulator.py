"""What the HTTP simulators share: a local server that carries out a `Script`."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web

from pipeline.testing.behaviour import Fault, Script
from pipeline.testing.receipts import OnReceipt, Receipt, ReceiptKind, nobody
from pipeline.testing.received import Received

KEPT_BODIES = 100
SILENCE = 600.0
"""Seconds that a request without an answer is kept open."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in full."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Invalid(Exception):
    """The request is not one that the provider would take; `reply` is what it answers."""

    def __init__(self, what: str, reply: Reply) -> None:
        super().__init__(what)
        self.what = what
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that the provider would take; without a `notification_id` a dry run, which is not counted."""

    notification_id: str
    recipient: str
    reply: Reply
    message_id: str = ""
    reference: str = ""
    callback: str = ""


class HttpSimulator(ABC):
    """One provider's API on a free local port. Use as an async context manager, or `start` and `close` it."""

    bounces_later = False
    """The provider takes mail to a dead address and says so in a receipt: `Fault.INVALID_RECIPIENT` is accepted."""

    def __init__(
        self, script: Script | None = None, *, received: Received | None = None, also: Received | None = None
    ) -> None:
        """`received` is where it counts, where it shares that with others; `also` counts it, too (`Received`)."""
        self.script = script or Script()
        self.received = received if received is not None else Received(also=also)
        self.on_receipt: OnReceipt = nobody
        self.base_url = ""
        self.bodies: deque[bytes] = deque(maxlen=KEPT_BODIES)
        """The latest accepted request bodies."""
        self._replies: deque[Reply] = deque()
        self._runner: web.ServerRunner | None = None
        self._closing = asyncio.Event()

    def answer_next(self, *replies: Reply) -> None:
        """The next valid requests get these answers, in order, and are not accepted."""
        self._replies.extend(replies)

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.base_url = f"http://{host}:{port}"

    async def close(self) -> None:
        self._closing.set()
        if self._runner:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @abstractmethod
    def accept(self, request: web.BaseRequest, body: bytes) -> Accepted:
        """Check a request.

        Raises:
            Invalid: the provider would refuse it.
        """

    @abstractmethod
    def refusal(self, fault: Fault) -> Reply:
        """The provider's words for a fault that has an answer."""

    async def other(self, request: web.BaseRequest, body: bytes) -> Reply | None:  # noqa: ARG002 - for subclasses
        """Answer what is not a message; None: it is one."""
        return None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        reply = await self._answer(request, await request.read())
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

    async def _answer(self, request: web.BaseRequest, body: bytes) -> Reply:
        if other := await self.other(request, body):
            return other
        try:
            accepted = self.accept(request, body)
        except Invalid as invalid:
            self.received.refuse(invalid.what)
            return invalid.reply
        if delay := self.script.delay():
            await asyncio.sleep(delay)
        if self._replies:
            self.received.refuse("scripted")
            return self._replies.popleft()
        return await self._carry_out(self.script.fault(), accepted, request, body)

    async def _carry_out(self, fault: Fault | None, accepted: Accepted, request: web.BaseRequest, body: bytes) -> Reply:
        if fault is Fault.INVALID_RECIPIENT and self.bounces_later:
            self._take(accepted, body, ReceiptKind.BOUNCED)
            return accepted.reply
        match fault:
            case None | Fault.RESET_AFTER | Fault.NO_ANSWER | Fault.LATE:
                self._take(accepted, body, ReceiptKind.DELIVERED)
            case _:
                self.received.refuse(fault)
        match fault:
            case None:
                return accepted.reply
            case Fault.RESET_BEFORE | Fault.RESET_AFTER:
                if request.transport:
                    request.transport.abort()
                return accepted.reply
            case Fault.NO_ANSWER:
                await self._keep_silent(SILENCE)
                return accepted.reply
            case Fault.LATE:
                await self._keep_silent(self.script.behaviour.late_after)
                return accepted.reply
            case _:
                return self.refusal(fault)

    def _take(self, accepted: Accepted, body: bytes, kind: ReceiptKind) -> None:
        if not accepted.notification_id:
            return  # a dry run
        self.bodies.append(body)
        self.received.accept(accepted.notification_id, accepted.recipient)
        self.on_receipt(
            Receipt(
                kind,
                accepted.notification_id,
                accepted.recipient,
                accepted.message_id,
                accepted.reference,
                accepted.callback,
            )
        )

    async def _keep_silent(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return
