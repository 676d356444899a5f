"""Rate limits that all workers share: one queue in Redis for each limit, moving at the limit's rate."""

import asyncio
import logging
from collections import defaultdict
from typing import NamedTuple

from redis.asyncio import Redis

from pipeline.storage.coalescer import Coalescer
from pipeline.storage.redis import REDIS_AWAY
from pipeline.storage.scripts import lua

logger = logging.getLogger(__name__)

AWAY_WAIT = 1.0
"""Seconds until a limit is asked again whose Redis is away: never without the limit."""

MICRO = 1_000_000


class Limit(NamedTuple):
    """At most `per_second` calls a second for `key`, of which `burst` may come at once."""

    key: str
    per_second: float
    burst: int = 1

    @property
    def interval(self) -> int:
        """µs between two calls."""
        return max(1, round(MICRO / self.per_second))

    @property
    def tolerance(self) -> int:
        return (self.burst - 1) * self.interval


class Place(NamedTuple):
    """`wait`: seconds until the place is due. Not `taken`: it would be due only then, and nothing is reserved."""

    wait: float
    taken: bool


class _Wish(NamedTuple):
    limit: Limit
    horizon: float


def limit_key(kind: str, name: str) -> str:
    """The Redis key of a limit; its hash tag is all of its name, so that limits spread over a cluster."""
    return f"rate:{{{kind}:{name}}}"


class Limits:
    """The limits as one process asks for them. All wishes of one moment for one limit are one script call."""

    def __init__(self, redis: Redis) -> None:
        self._take_script = redis.register_script(lua("gcra_take"))
        self._pause_script = redis.register_script(lua("gcra_pause"))
        self._wishes: Coalescer[_Wish, Place] = Coalescer(self._ask)

    async def take(self, limit: Limit, horizon: float) -> Place:
        """The next place, if it is due within `horizon` seconds. It is yours then: come back when it is due."""
        return await self._wishes.call(_Wish(limit, horizon))

    async def pause(self, limit: Limit, seconds: float) -> None:
        """No worker gets a place before `seconds` from now."""
        arguments = (round(seconds * MICRO), limit.tolerance)
        try:
            await self._pause_script(keys=[limit.key], args=arguments)
        except REDIS_AWAY as error:
            logger.debug("a pause is not shared: %s", type(error).__name__)

    async def _ask(self, wishes: list[_Wish]) -> list[Place]:
        groups: defaultdict[_Wish, list[int]] = defaultdict(list)
        for position, wish in enumerate(wishes):
            groups[wish].append(position)
        places = [Place(AWAY_WAIT, False)] * len(wishes)
        answers = await asyncio.gather(*(self._ask_one(wish, len(group)) for wish, group in groups.items()))
        for group, answer in zip(groups.values(), answers, strict=True):
            for position, place in zip(group, answer, strict=True):
                places[position] = place
        return places

    async def _ask_one(self, wish: _Wish, count: int) -> list[Place]:
        limit = wish.limit
        arguments = (limit.interval, limit.tolerance, round(wish.horizon * MICRO), count)
        try:
            first, taken = await self._take_script(keys=[limit.key], args=arguments)
        except REDIS_AWAY as error:
            logger.debug("a limit is not asked: %s", type(error).__name__)
            return [Place(AWAY_WAIT, False)] * count
        return places(int(first), int(taken), limit.interval, count)


def places(first: int, taken: int, interval: int, count: int) -> list[Place]:
    """The script's answer, place by place. What was not taken is told when the first of them would have been due."""
    granted = [Place(max(0, first + n * interval) / MICRO, True) for n in range(taken)]
    refused = Place(max(0, first + taken * interval) / MICRO, False)
    return granted + [refused] * (count - taken)
