"""How often a caller may call, and how many events a key may send a day; counted in Redis over all gateways."""

import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import cast

from redis.asyncio import Redis

from pipeline.gateway.access import Service
from pipeline.gateway.problems import Refused
from pipeline.storage.coalescer import Coalescer
from pipeline.storage.redis import REDIS_AWAY
from pipeline.storage.scripts import lua
from pipeline.storage.slots import Call, SlotScript

logger = logging.getLogger(__name__)

_QUOTA_LIVES = 2 * 86_400
MOST_AT_ONCE = 50
"""Requests that a gateway takes from a caller's allowance in one go, at most a tenth of the burst."""
KEPT_SECONDS = 1.0
"""How long they may be spent here; what is left then is lost to the caller."""
_MOST_ACTORS = 10_000


class Limits:
    """The generic cell rate algorithm for requests, a counter a day (UTC) for events.

    While Redis is away rates are not limited: what a caller may read does not depend on it, and accepting events
    fails for want of it anyway.
    """

    def __init__(self, redis: Redis, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._rate = SlotScript(redis, lua("gateway_rate"))
        self._quota = redis.register_script(lua("gateway_quota"))
        self._calls: Coalescer[tuple[str, int, int, int], int] = Coalescer(self._take_all, spacing=0.002)
        self._taken: dict[str, tuple[int, float]] = {}
        self._now = now

    async def take(self, actor: str, rate: float, burst: int) -> int:
        """Seconds to wait, rounded up; 0: this request may pass, and is counted. `rate` in requests a second."""
        left, until = self._taken.get(actor, (0, 0.0))
        if left and time.monotonic() < until:
            self._taken[actor] = (left - 1, until)
            return 0
        wanted = max(1, min(MOST_AT_ONCE, burst // 10, int(rate * KEPT_SECONDS)))
        try:
            passed = await self._calls.call((f"rate:{{{actor}}}", max(1, round(1e6 / rate)), burst, wanted))
        except REDIS_AWAY as error:
            logger.warning("rates are not limited: %s", type(error).__name__)
            return 0
        if passed > 1:
            self._keep(actor, passed - 1)
        return math.ceil(-passed / 1e6) if passed < 0 else 0

    def _keep(self, actor: str, number: int) -> None:
        if len(self._taken) >= _MOST_ACTORS:
            self._taken.clear()
        left, until = self._taken.get(actor, (0, 0.0))
        now = time.monotonic()
        self._taken[actor] = (number + (left if now < until else 0), now + KEPT_SECONDS)

    async def spend(self, caller: Service, events: int) -> None:
        """Take `events` from the key's quota of today.

        Raises:
            Refused: 429, there is not that much left; nothing is taken.
            one of `REDIS_AWAY`
        """
        if caller.quota is None or not events:
            return
        now = self._now()
        key = f"quota:{{{caller.actor}}}:{now:%Y%m%d}"
        if not await self._quota(keys=[key], args=[events, caller.quota, _QUOTA_LIVES]):
            tomorrow = datetime(now.year, now.month, now.day, tzinfo=UTC) + timedelta(days=1)
            wait = {"Retry-After": str(math.ceil((tomorrow - now).total_seconds()))}
            raise Refused(
                429, f"The key's quota of {caller.quota} events a day does not allow {events} more.", (), wait
            )

    async def _take_all(self, calls: list[tuple[str, int, int, int]]) -> list[int]:
        return cast("list[int]", await self._rate.ask([Call((key,), tuple(numbers)) for key, *numbers in calls]))
