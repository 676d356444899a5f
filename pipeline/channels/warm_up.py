"""IP warm-up: a sending pool with new addresses carries a little more mail each day, until it is known."""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from redis.asyncio import Redis

from pipeline.config import WarmUpSettings
from pipeline.events.vocabulary import Reason
from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.storage.coalescer import Coalescer
from pipeline.storage.redis import REDIS_AWAY
from pipeline.storage.scripts import lua

NAME = "warm_up"
AWAY_WAIT = 1.0
"""Seconds until Redis is asked again; without the counter nothing may go out through a new pool."""

KEPT = timedelta(days=2)
"""How long a day's counter is kept: it must outlast the day in every clock."""

_DAY = timedelta(days=1)


def limit_on(schedule: WarmUpSettings, day: date) -> int | None:
    """How many mails the pool may carry on `day` (UTC); None: no limit any more; before the first day: 0."""
    number = (day - schedule.since).days
    if number < 0:
        return 0
    return schedule.daily[number] if number < len(schedule.daily) else None


def until_next_day(now: datetime) -> float:
    """Seconds until the next day begins (UTC)."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return (midnight + _DAY - now).total_seconds()


class PoolDay(NamedTuple):
    """What is counted: one pool on one day (UTC)."""

    pool: str
    day: date

    @property
    def key(self) -> str:
        return f"warm_up:{{{self.pool}}}:{self.day}"


class Admission(NamedTuple):
    """Leave to send one mail through `pool`; `counted` where it took one of a day's places."""

    pool: str
    counted: PoolDay | None = None


class WarmUp:
    """The schedules of all pools; what each has carried today is counted in Redis, over all workers."""

    def __init__(
        self,
        redis: Redis,
        schedules: Mapping[str, WarmUpSettings],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._schedules = schedules
        self._now = now
        self._take_script = redis.register_script(lua("warm_up_take"))
        self._give_script = redis.register_script(lua("warm_up_give"))
        self._takes: Coalescer[PoolDay, bool] = Coalescer(self._take)

    async def admit(self, pool: str, *, urgent: bool) -> Admission | SendResult:
        """Whether one mail may go out through `pool` now, or through another one; else why and how long it waits.

        `urgent` mail is counted, too, but never waits for a day: it is worth more than the pool's reputation.
        """
        schedule, now = self._schedules.get(pool), self._now()
        if schedule is None or limit_on(schedule, now.date()) is None:
            return Admission(pool)
        day = PoolDay(pool, now.date())
        try:
            if await self._takes.call(day):
                return Admission(pool, day)
        except REDIS_AWAY:
            return _wait(AWAY_WAIT, "redis_unavailable")
        if schedule.excess == "warm_pool":
            return Admission(schedule.warm_pool)
        return Admission(pool) if urgent else _wait(until_next_day(now), NAME)

    async def give_back(self, admission: Admission) -> None:
        """It was not sent after all. Where Redis is away, the pool carries one mail less today."""
        if admission.counted:
            with contextlib.suppress(*REDIS_AWAY):
                await self._give_script(keys=[admission.counted.key])

    async def _take(self, wanted: list[PoolDay]) -> list[bool]:
        """One place for each; those of the same day in one call."""
        left = {day: await self._places(day, count) for day, count in Counter(wanted).items()}
        answers = []
        for day in wanted:
            answers.append(left[day] > 0)
            left[day] -= 1
        return answers

    async def _places(self, day: PoolDay, wanted: int) -> int:
        limit = limit_on(self._schedules[day.pool], day.day)
        arguments = [limit or 0, wanted, int(KEPT.total_seconds() * 1000)]
        return int(await self._take_script(keys=[day.key], args=arguments))


def _wait(seconds: float, error: str) -> SendResult:
    """This mail waits; the account that would have sent it is well, and goes on with the mail of other pools."""
    return SendResult(
        outcome=Outcome.THROTTLED,
        provider=NAME,
        error=error,
        retry_after=seconds,
        scope=Scope.MESSAGE,
        waits_for=Reason.WARM_UP,
    )
