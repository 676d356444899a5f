"""Tells how long what is due has not been released: zero while the scheduler keeps up."""

import asyncio

from pipeline.catalogue.model import URGENCY
from pipeline.events.vocabulary import Channel
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.observability.patience import until_available
from pipeline.scheduler import waiting
from pipeline.scheduler.times import Clock, milliseconds
from pipeline.scheduler.waiting import TRY_AGAIN
from pipeline.storage.postgres import Pool, reachable

EVERY = 15.0


class Overdue:
    """Looks at the oldest row of each channel. Every scheduler does it: one that hangs is told of by the others."""

    def __init__(self, pool: Pool, health: Health, metrics: Metrics, clock: Clock) -> None:
        self._pool = pool
        self._health = health
        self._metrics = metrics
        self._clock = clock

    async def run(self) -> None:
        """Now and every 15 seconds, until cancelled."""
        while True:
            await until_available("overdue", self.once, away=TRY_AGAIN, health=self._health)
            await asyncio.sleep(EVERY)

    async def once(self) -> None:
        """Raises one of `TRY_AGAIN`: PostgreSQL is away; the gauges stay as they were."""
        now = self._clock()
        for channel in Channel:
            with reachable():
                since = await waiting.oldest_due(self._pool, channel, list(URGENCY.values()), now)
            overdue = 0.0 if since is None else (now - milliseconds(since)) / 1000
            self._metrics.release_overdue.labels(channel).set(max(0.0, overdue))
