"""Keeps the store's daily partitions in shape: made ahead, and archived and dropped once they are old."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, cast

from pipeline.config import Settings
from pipeline.errors import ConfigurationError, Unavailable
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.observability.patience import until_available
from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql
from pipeline.store.archive import Archive
from pipeline.store.intake import TRY_AGAIN
from pipeline.store.retention import Retention

logger = logging.getLogger(__name__)

DATASETS = ("status_events", "history")
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '2s'"
"""Who uses a table goes first: a change of partitions that would have to wait is made another time."""

Today = Callable[[], date]


def today() -> date:
    return datetime.now(UTC).date()


class Partition(NamedTuple):
    """One day of one table. `rows` as PostgreSQL estimates it."""

    dataset: str
    name: str
    day: date
    rows: int
    bytes: int


async def partitions(pool: Pool) -> list[Partition]:
    """Oldest first.

    Raises:
        Unavailable: PostgreSQL is away.
        ConfigurationError: it has no tables yet.
    """
    with reachable():
        return [Partition(*row) for row in await pool.fetch(sql("store_partitions"))]


async def add_days(pool: Pool, first: date, last: date) -> int:
    """Make the partitions of the days from `first` to `last`; returns how many were missing.

    Raises:
        Unavailable, asyncpg.LockNotAvailableError: what was made so far stays.
    """
    made = 0
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    with reachable():
        for dataset in DATASETS:
            for day in days:
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute(LOCK_TIMEOUT)
                    made += cast("bool", await connection.fetchval(sql("add_store_day"), dataset, day))
    return made


class Upkeep:
    """That several processes do it at once is harmless."""

    def __init__(self, pool: Pool, settings: Settings, health: Health, metrics: Metrics, clock: Today = today) -> None:
        self._pool = pool
        self._settings = settings.store
        self._dsn = settings.postgres.dsn.get_secret_value()
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._retention = Retention(pool, settings.retention)

    async def run(self) -> None:
        """Now and every ``store.upkeep`` seconds, until cancelled."""
        while True:
            await until_available("upkeep", self.once, away=TRY_AGAIN, health=self._health)
            await until_available("upkeep", self.expire, away=TRY_AGAIN, health=self._health)
            await self._archive()
            await asyncio.sleep(self._settings.upkeep)

    async def once(self) -> None:
        """Make the days to come, and on the first run those that a backlog may be of; show how things stand.

        Raises:
            one of `TRY_AGAIN`: what was done so far stays.
        """
        now = self._clock()
        present = await partitions(self._pool)
        first = now if present else now - timedelta(days=self._settings.archive.after_days - 1)
        await add_days(self._pool, first, now + timedelta(days=self._settings.days_ahead))
        await self._show(now)

    async def expire(self) -> None:
        """Delete what its category is kept no longer for.

        Raises:
            one of `TRY_AGAIN`: what was done so far stays.
        """
        days = {p.name: p.day for p in await partitions(self._pool)}
        if deleted := await self._retention.once(self._clock(), days):
            logger.info("deleted %d rows that were older than their categories are kept", deleted)

    async def _show(self, now: date) -> None:
        days = {dataset: [p.day for p in await partitions(self._pool) if p.dataset == dataset] for dataset in DATASETS}
        self._metrics.store_partitions_ahead.set(min((max(of) - now).days for of in days.values()))
        oldest = min(day for of in days.values() for day in of)
        overdue = (now - oldest).days - self._settings.archive.after_days
        self._metrics.store_archive_overdue.set(max(0, overdue))
        for dataset in DATASETS:
            with reachable():
                apart = await self._pool.fetchval(sql(f"{dataset}_apart"))
            self._metrics.store_rows_apart.labels(dataset).set(apart)

    async def _archive(self) -> None:
        if not self._settings.archive.url:
            return
        before = self._clock() - timedelta(days=self._settings.archive.after_days)
        try:
            archive = Archive(self._dsn, self._settings.archive)
            for done in await asyncio.to_thread(lambda: list(archive.run(before))):
                self._metrics.store_archived_rows.labels(done.dataset).inc(done.rows)
        except (Unavailable, ConfigurationError) as error:
            self._health.set("archive", ok=True, detail=str(error))
            logger.warning("cannot archive: %s; nothing is dropped, trying again", error)
