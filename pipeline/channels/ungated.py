"""A channel without circuits and limits: whoever asks may send. For senders that are no chain, in tests above all."""

import logging
from collections.abc import Callable, Sequence

from pipeline.channels.base import ChannelSender, Hold, Part, Permit, Reserved
from pipeline.events.records import Dispatch
from pipeline.providers.base import Outcome, SendResult

logger = logging.getLogger(__name__)


class Ungated:
    """A `Gate` that is always open."""

    def __init__(self, sender: ChannelSender) -> None:
        self._sender = sender

    async def admit(self, dispatch: Dispatch, parts: Sequence[Part], reserved: Reserved) -> Permit | Hold:
        del parts, reserved
        return _Leave(self._sender, dispatch)

    def subscribe(self, wake: Callable[[int | None], None]) -> None:
        """Nobody ever waits."""


class _Leave:
    __slots__ = ("_dispatch", "_sender")

    def __init__(self, sender: ChannelSender, dispatch: Dispatch) -> None:
        self._sender = sender
        self._dispatch = dispatch

    async def send(self, part: Part, *, repeat: bool, deadline: float) -> SendResult:
        del repeat, deadline
        try:
            return await self._sender.send(self._dispatch, part)
        except Exception as error:
            logger.exception("the %s sender failed; whether it had sent is not known", self._sender.channel)
            return SendResult(outcome=Outcome.AMBIGUOUS, provider="", error=type(error).__name__)

    def release(self) -> None:
        """Nothing was taken."""
