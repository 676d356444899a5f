"""Lets go what is due: back to the ingest topic, at each channel's pace, the most urgent first.

A row is locked while its records are written and marked afterwards, so whoever dies in between leaves it as it was: it
is released again, and the router knows the round. The ``released`` status follows the released record, so that at no
moment a notification is in nobody's hands.
"""

import asyncio
import math
import random
from collections.abc import Sequence

from pipeline.catalogue.model import URGENCY, Catalogue
from pipeline.config import SchedulerSettings
from pipeline.errors import UnknownSchema
from pipeline.escalation.standing import Standings
from pipeline.events.codec import Codec
from pipeline.events.records import Deferred, DeliveryStatus
from pipeline.events.vocabulary import Channel, Reason, Status
from pipeline.kafka.names import DELIVERY_STATUS, INGEST
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.observability.patience import until_available
from pipeline.scheduler import waiting
from pipeline.scheduler.records import released_event, released_headers, status, trace
from pipeline.scheduler.standings import find_standings
from pipeline.scheduler.times import Clock, milliseconds
from pipeline.scheduler.waiting import START, TRY_AGAIN, Cursor, Held
from pipeline.storage.postgres import Connection, Pool, reachable

SWEEP = 5.0
"""Seconds after which a channel is looked through from its beginning: others may have left something behind."""

RECHECKS = 1.0
"""Seconds between two looks at changed quiet hours; the routers hear of them sooner."""

_STOPPED = {"cancelled": Reason.CANCELLED, "replaced": Reason.REPLACED}


class Releaser:
    """One of any number. `arrived` is set when rows came that may be due already."""

    def __init__(
        self,
        pool: Pool,
        codec: Codec,
        producer: AsyncProducer,
        settings: SchedulerSettings,
        health: Health,
        metrics: Metrics,
        clock: Clock,
        arrived: asyncio.Event,
        catalogue: Catalogue,
    ) -> None:
        self._pool = pool
        self._codec = codec
        self._producer = producer
        self._settings = settings
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._arrived = arrived
        self._catalogue = catalogue
        self._cursors: dict[tuple[Channel, int], Cursor] = {}
        self._swept_at = self._rechecked_at = -math.inf

    async def run(self) -> None:
        """Release until cancelled; waits while PostgreSQL or Kafka are away."""
        while True:
            await until_available("releases", self.tick, away=TRY_AGAIN, health=self._health)
            await asyncio.sleep(self._settings.tick * random.uniform(0.8, 1.2))

    async def tick(self) -> None:
        """Release once what is due, as far as the pace allows.

        Raises:
            one of `TRY_AGAIN`: nothing of what failed is marked; it will be released again.
        """
        self._begin_anew_when_due()
        with reachable():
            await self._recheck()
            await self._release_stopped()
            await asyncio.gather(*(self._release(channel) for channel in Channel))

    def _begin_anew_when_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._arrived.is_set() or now - self._swept_at > SWEEP:
            self._arrived.clear()
            self._swept_at = now
            self._cursors.clear()

    async def _recheck(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._rechecked_at < RECHECKS:
            return
        while await waiting.recheck(self._pool, self._settings.batch) == self._settings.batch:
            pass
        self._rechecked_at = now

    async def _release_stopped(self) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await waiting.lock_stopped(connection, self._settings.batch)
            await self._let_go(connection, [row for row in rows if row.state not in _STOPPED])
            await self._end(connection, [row for row in rows if row.state in _STOPPED])

    async def _release(self, channel: Channel) -> None:
        rate: float = getattr(self._settings.pace, channel)
        async with self._pool.acquire() as connection:
            due = await self._count_due(connection, channel, self._limit(rate))
            granted = await waiting.take_pace(connection, channel, rate, due, self._clock()) if due else 0
            if not granted:
                return
            async with connection.transaction():
                rows = await self._lock_due(connection, channel, granted)
                await self._let_go(connection, rows)
        for row in rows:
            self._cursors[channel, row.urgency] = Cursor(row.due_at, row.notification_id)

    def _limit(self, rate: float) -> int:
        """What one look may take at most: a batch, or twice what the pace gives in a tick."""
        if not rate:
            return self._settings.batch
        return max(1, min(self._settings.batch, math.ceil(2 * rate * self._settings.tick)))

    async def _count_due(self, connection: Connection, channel: Channel, limit: int) -> int:
        found = 0
        for urgency in URGENCY.values():
            after = self._cursors.get((channel, urgency), START)
            found += await waiting.count_due(connection, channel, urgency, self._clock(), after, limit - found)
            if found >= limit:
                break
        return found

    async def _lock_due(self, connection: Connection, channel: Channel, limit: int) -> list[Held]:
        rows: list[Held] = []
        for urgency in URGENCY.values():
            after = self._cursors.get((channel, urgency), START)
            rows += await waiting.lock_due(connection, channel, urgency, self._clock(), after, limit - len(rows))
            if len(rows) >= limit:
                break
        return rows

    async def _let_go(self, connection: Connection, rows: Sequence[Held]) -> None:
        """Back to the router, then told, then marked."""
        if not rows:
            return
        now = self._clock()
        waits = [(row, await self._decode(row.record)) for row in rows]
        steps = await find_standings(connection, [deferred for _, deferred in waits], self._catalogue, now)
        await self._producer.send_all([self._released(row, d, now, steps.get(d.notification_id)) for row, d in waits])
        told = [(row, status(d, Status.RELEASED, row.reason, d.rule, milliseconds(row.over_at))) for row, d in waits]
        await self._producer.send_all([self._told(row, record) for row, record in told])
        await waiting.finish(connection, rows, "released", now)
        for row, deferred in waits:
            self._metrics.released.labels(deferred.channel, row.reason).inc()
            self._metrics.release_delay.labels(deferred.channel).observe((now - milliseconds(row.over_at)) / 1000)

    async def _end(self, connection: Connection, rows: Sequence[Held]) -> None:
        """What was taken back or replaced while it waited: told, then marked."""
        if not rows:
            return
        told: list[Record] = []
        for row in rows:
            deferred, reason = await self._decode(row.record), _STOPPED[row.state]
            ended = status(deferred, Status.CANCELLED, reason, reason.value, milliseconds(row.over_at))
            told.append(self._told(row, ended))
        await self._producer.send_all(told)
        await waiting.finish(connection, rows, "ended", self._clock())

    def _released(self, row: Held, deferred: Deferred, now: int, standings: Standings | None) -> Record:
        event = released_event(deferred)
        headers = released_headers(deferred, now, row.traceparent, standings)
        return Record(INGEST, event.recipient_id.encode(), self._codec.encode_event(event), headers)

    def _told(self, row: Held, told: DeliveryStatus) -> Record:
        headers = trace(row.traceparent) or None
        return Record(DELIVERY_STATUS, told.recipient_id.encode(), self._codec.encode_status(told), headers)

    async def _decode(self, value: bytes) -> Deferred:
        """A record that was read before; a schema that this process has not met yet is asked for."""
        try:
            return self._codec.decode_deferred(value)
        except UnknownSchema as unknown:
            if not await self._codec.book.learn(unknown.schema_id):
                raise
            return self._codec.decode_deferred(value)
