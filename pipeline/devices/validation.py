"""The weekly look at every device: is its token still good, has its app been seen lately?

Only FCM can be asked without sending. Of devices that APNs or a push service serves only the age counts here; those
providers say that a device is gone when something is sent to it.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from pipeline.providers.base import Outcome, SendResult
from pipeline.storage.devices import Registered

logger = logging.getLogger(__name__)

TRIES = 3
UNDER_WAY = 50
"""Questions asked at a time, at most."""
THROTTLE_WAIT = 10.0
"""Seconds to wait where the provider does not say."""
GIVE_UP_AFTER = 20
"""So many refusals of our account in a row, and nobody is asked any more."""

Ask = Callable[[str], Awaitable[SendResult]]
"""Asks a provider whether a token is good, without sending."""
Sleep = Callable[[float], Awaitable[None]]


class Verdict(StrEnum):
    """What was found of a device."""

    ALIVE = "alive"
    DEAD = "dead"
    """The provider calls its token dead."""
    STALE = "stale"
    """Its app has not been seen for too long."""
    NOT_ASKED = "not_asked"
    """Its provider cannot be asked without sending; it is not stale."""
    UNKNOWN = "unknown"
    """The provider gave no answer that says."""


class Pruning(Protocol):
    """What this needs of `pipeline.storage.devices.DeviceRegistry`."""

    async def prune(
        self,
        user_id: str,
        device_id: str,
        reason: str,
        *,
        token: str | None = None,
        dead_since: float | None = None,
    ) -> bool: ...


@dataclass
class Report:
    """`verdicts` by platform. `refused`: the error with which the provider refused our account, and was asked no more."""

    verdicts: dict[str, Counter[Verdict]] = field(default_factory=lambda: defaultdict(Counter))
    pruned: int = 0
    refused: str = ""

    @property
    def total(self) -> Counter[Verdict]:
        """Over all platforms."""
        return sum(self.verdicts.values(), Counter())


class Pace:
    """Lets through `rate` a second; `pause` holds everybody back."""

    def __init__(self, rate: float, clock: Callable[[], float], sleep: Sleep) -> None:
        self._gap = 1 / rate
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    async def turn(self) -> None:
        """Wait for one's turn."""
        now = self._clock()
        self._next = max(self._next, now) + self._gap
        if (wait := self._next - self._gap - now) > 0:
            await self._sleep(wait)

    def pause(self, seconds: float) -> None:
        self._next = max(self._next, self._clock() + seconds)


class Validation:
    """One run over all devices. `ask` None: there is no account at FCM, so only the age counts.

    `is_asked` says which devices FCM serves; `now` is when the run began.
    """

    def __init__(
        self,
        registry: Pruning,
        ask: Ask | None,
        is_asked: Callable[[Registered], bool],
        *,
        pace: Pace,
        now: datetime,
        stale_after: timedelta,
        dry_run: bool,
    ) -> None:
        self.report = Report()
        self._registry = registry
        self._ask = ask
        self._is_asked = is_asked
        self._pace = pace
        self._stale_since = now - stale_after
        self._dry_run = dry_run
        self._refusals = 0

    async def run(self, devices: AsyncIterable[Registered]) -> Report:
        """Look at each device, prune the dead and the stale ones (`dry_run`: none), and count."""
        slots = asyncio.Semaphore(UNDER_WAY)
        async with asyncio.TaskGroup() as group:
            async for registered in devices:
                await slots.acquire()
                task = group.create_task(self._look(registered))
                task.add_done_callback(lambda _: slots.release())
        return self.report

    async def _look(self, registered: Registered) -> None:
        verdict, reason = await self._judge(registered)
        self.report.verdicts[registered.device.platform][verdict] += 1
        if verdict not in {Verdict.DEAD, Verdict.STALE} or self._dry_run:
            return
        seen = registered.last_seen_at.timestamp() if verdict is Verdict.STALE else None
        device = registered.device
        pruned = await self._registry.prune(registered.user_id, device.id, reason, token=device.token, dead_since=seen)
        self.report.pruned += pruned

    async def _judge(self, registered: Registered) -> tuple[Verdict, str]:
        """The verdict, and its reason in one word."""
        if registered.last_seen_at <= self._stale_since:
            return Verdict.STALE, "stale"
        if self._ask is None or not self._is_asked(registered):
            return Verdict.NOT_ASKED, ""
        if self.report.refused:
            return Verdict.UNKNOWN, ""
        result = await self._answer(self._ask, registered.device.token)
        match result.outcome:
            case Outcome.ACCEPTED:
                return Verdict.ALIVE, ""
            case Outcome.INVALID_RECIPIENT:
                return Verdict.DEAD, result.error
            case _:
                return Verdict.UNKNOWN, ""

    async def _answer(self, ask: Ask, token: str) -> SendResult:
        for attempt in range(TRIES):
            await self._pace.turn()
            result = await ask(token)
            match result.outcome:
                case Outcome.THROTTLED:
                    self._pace.pause(result.retry_after or THROTTLE_WAIT)
                case Outcome.TRANSIENT | Outcome.AMBIGUOUS:
                    self._pace.pause(result.retry_after or 2.0**attempt)
                case _:
                    break
        self._note_refusal(result)
        return result

    def _note_refusal(self, result: SendResult) -> None:
        self._refusals = self._refusals + 1 if result.outcome is Outcome.CONFIGURATION else 0
        if self._refusals >= GIVE_UP_AFTER and not self.report.refused:
            self.report.refused = result.error
            logger.error("%s refuses our account: %s; no more devices are asked about", result.provider, result.error)
