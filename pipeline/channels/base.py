"""From a dispatch record to provider requests: what a channel offers the delivery engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel, Reason
from pipeline.providers.base import SendResult
from pipeline.users.snapshot import UserSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One provider request of a notification: one device, one mailbox, one number.

    `key` tells the parts of one notification apart and is the same after a restart (a device's id; "" where there is
    one part only). `payload` is the channel's own, opaque to the engine.
    """

    key: str
    payload: object


class Refused(Exception):
    """The notification cannot be built: no address any more, template broken, too large. Says why."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class ChannelSender(Protocol):
    """One channel. `prepare` is synchronous and pure but for cached templates; `send` speaks to the provider."""

    channel: Channel
    repeat_is_harmless: bool
    """Sending a part again cannot reach the person twice (the inbox: one row an id)."""

    def prepare(self, dispatch: Dispatch, user: UserSnapshot) -> Sequence[Part]:
        """Render and address; at least one part.

        Raises:
            Refused: it cannot be built.
        """

    async def send(self, dispatch: Dispatch, part: Part) -> SendResult:
        """Send one part. Never raises for what a provider or the network does: that is a `SendResult`."""

    async def prune(self, dispatch: Dispatch, part: Part, result: SendResult) -> None:
        """Act on `Outcome.INVALID_RECIPIENT`: delete the device token or suppress the address."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...
