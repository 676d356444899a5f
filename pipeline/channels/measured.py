"""Measures any channel: how long its provider took, by outcome."""

import time
from collections.abc import Sequence

from prometheus_client import Histogram

from pipeline.channels.base import ChannelSender, Part
from pipeline.events.records import Dispatch
from pipeline.observability.metrics import Metrics
from pipeline.providers.base import Outcome, SendResult
from pipeline.users.snapshot import UserSnapshot


class MeasuredSender:
    """A `ChannelSender` around another one. `name` is the account's; empty: what the sender says."""

    def __init__(self, sender: ChannelSender, metrics: Metrics, name: str = "") -> None:
        self._sender = sender
        self._name = name
        self._seconds = metrics.provider_seconds
        self._clocks: dict[tuple[str, Outcome], Histogram] = {}
        self.channel = sender.channel
        self.repeat_is_harmless = sender.repeat_is_harmless

    def prepare(self, dispatch: Dispatch, user: UserSnapshot) -> Sequence[Part]:
        return self._sender.prepare(dispatch, user)

    async def send(self, dispatch: Dispatch, part: Part) -> SendResult:
        """Send, and observe the time it took."""
        started = time.perf_counter()
        result = await self._sender.send(dispatch, part)
        self._clock(self._name or result.provider, result.outcome).observe(time.perf_counter() - started)
        return result

    def _clock(self, provider: str, outcome: Outcome) -> Histogram:
        """The labelled histogram, looked up once: finding it costs more than observing."""
        found = self._clocks.get((provider, outcome))
        if found is None:
            found = self._clocks[provider, outcome] = self._seconds.labels(provider, outcome.name.lower())
        return found

    async def prune(self, dispatch: Dispatch, part: Part, result: SendResult) -> None:
        await self._sender.prune(dispatch, part, result)

    async def start(self) -> None:
        await self._sender.start()

    async def close(self) -> None:
        await self._sender.close()
