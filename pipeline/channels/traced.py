"""Traces any channel: each call to its provider is a span."""

from collections.abc import Sequence

from pipeline.channels.base import ChannelSender, Part
from pipeline.events.records import Dispatch
from pipeline.observability.tracing import Tracing
from pipeline.providers.base import Outcome, SendResult
from pipeline.users.snapshot import UserSnapshot


class TracedSender:
    """A `ChannelSender` around another one. `name` is the account's."""

    def __init__(self, sender: ChannelSender, tracing: Tracing, name: str) -> None:
        self._sender = sender
        self._tracing = tracing
        self._name = name
        self.channel = sender.channel
        self.repeat_is_harmless = sender.repeat_is_harmless

    def prepare(self, dispatch: Dispatch, user: UserSnapshot) -> Sequence[Part]:
        return self._sender.prepare(dispatch, user)

    async def send(self, dispatch: Dispatch, part: Part) -> SendResult:
        """Send, and tell of it; an error's text is the provider's word for it, not its message."""
        attributes = {"notification.id": dispatch.notification_id, "notification.provider": self._name}
        with self._tracing.calling(f"send {self._name}", attributes) as span:
            result = await self._sender.send(dispatch, part)
            span.set_attribute("notification.outcome", result.outcome.name.lower())
            if result.outcome is not Outcome.ACCEPTED:
                self._tracing.mark_failed(span, result.error)
            return result

    async def prune(self, dispatch: Dispatch, part: Part, result: SendResult) -> None:
        await self._sender.prune(dispatch, part, result)

    async def start(self) -> None:
        await self._sender.start()

    async def close(self) -> None:
        await self._sender.close()
