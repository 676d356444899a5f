"""Keeps the tables of what waits in shape: days made ahead, days that are over dropped, what is remembered forgotten."""

import asyncio
import logging
from datetime import timedelta

from pipeline.config import SchedulerSettings
from pipeline.observability.health import Health
from pipeline.observability.patience import until_available
from pipeline.scheduler.times import Clock, instant
from pipeline.scheduler.waiting import TRY_AGAIN
from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql

logger = logging.getLogger(__name__)

EVERY = 60.0
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"
"""Who uses a table goes first: a change of partitions that would have to wait is made another time."""


class Upkeep:
    """One scheduler at a time does it; that all of them try is harmless."""

    def __init__(self, pool: Pool, settings: SchedulerSettings, health: Health, clock: Clock) -> None:
        self._pool = pool
        self._settings = settings
        self._health = health
        self._clock = clock

    async def run(self) -> None:
        """Once at first, then every minute, until cancelled."""
        while True:
            await until_available("upkeep", self.once, away=TRY_AGAIN, health=self._health)
            await asyncio.sleep(EVERY)

    async def once(self) -> None:
        """Make the days to come, drop those that are over.

        Raises:
            one of `TRY_AGAIN`: what was done so far stays.
        """
        now = instant(self._clock())
        over = now - timedelta(seconds=self._settings.retention)
        with reachable():
            for ahead in range(self._settings.days_ahead + 1):
                await self._do(sql("add_waiting_day"), (now + timedelta(days=ahead)).date())
            for name in await self._do(sql("drop_waiting_days"), over):
                logger.info("dropped %s: nothing waits in it any more", name)
            await self._do(sql("forget_waiting_other"), over)
            await self._do(sql("forget_digests"), over)

    async def _do(self, statement: str, argument: object) -> list[str]:
        async with self._pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval(sql("upkeep_lock")):
                return []
            await connection.execute(LOCK_TIMEOUT)
            rows = await connection.fetch(statement, argument)
            return [str(row[0]) for row in rows]
