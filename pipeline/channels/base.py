"""From a dispatch record to provider requests: what a channel offers the delivery engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

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


class Reserved(NamedTuple):
    """Places that a notification has in the queues of rate limits, for when its `Hold` is over."""

    limits: bool = False
    account: str = ""


class Hold(NamedTuple):
    """Nothing can be sent now; costs no try. `seconds` until it is worth asking again.

    `by_circuit`: an account is paused, and whoever waits is woken (`Gate.subscribe`) when that ends. `aside`: other
    notifications of this channel can be sent meanwhile, so this one should not stand in their way.
    """

    seconds: float
    reason: Reason
    provider: str
    by_circuit: bool = False
    aside: bool = False
    reserved: Reserved = Reserved()


class Permit(Protocol):
    """The right to send one notification now."""

    async def send(self, part: Part, *, repeat: bool, deadline: float) -> SendResult:
        """Send one part, to the next account too where one fails. Never raises for what a provider does.

        `repeat`: whether it may be sent again after an answer that was lost. `deadline`: the time of the event loop's
        clock at which the last call must be over.
        """

    def release(self) -> None:
        """Nothing more will be sent under it."""


class Gate(Protocol):
    """Decides whether a notification may be sent now."""

    async def admit(self, dispatch: Dispatch, parts: Sequence[Part], reserved: Reserved) -> Permit | Hold:
        """Leave to send these parts, or how long to wait. `reserved` is what the last `Hold` said."""

    def subscribe(self, wake: Callable[[int | None], None]) -> None:
        """`wake` will be called when so many (None: all) of those who wait for a circuit should ask again."""
