"""Takes the deferred topic over into PostgreSQL; an offset is committed only after its rows are durable there."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from pipeline.catalogue.model import Catalogue
from pipeline.config import SchedulerSettings
from pipeline.errors import MalformedRecord, Unavailable, UnknownSchema
from pipeline.events.codec import Codec
from pipeline.events.records import Deferred
from pipeline.kafka.dead_letters import dead_letter
from pipeline.kafka.inbound import Inbound, Offsets, Position, Unremembering
from pipeline.kafka.names import DEFERRED, INGEST_DLQ
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.kafka.source import KafkaSource
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.observability.patience import until_available
from pipeline.scheduler import digests, waiting
from pipeline.scheduler.parcel import Parcel
from pipeline.scheduler.times import Clock
from pipeline.scheduler.waiting import TRY_AGAIN
from pipeline.storage.postgres import Pool, reachable

logger = logging.getLogger(__name__)


class _Partition:
    """A partition while it is ours: up to where its rows are durable, and whether it has gone to another."""

    __slots__ = ("done", "gone", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.done: int | None = None
        self.gone = False


class _Arrival(NamedTuple):
    partition: _Partition
    record: Inbound


class Intake(Unremembering):
    """Listens to one source. `arrived` is set whenever rows were stored, for whoever releases them."""

    def __init__(
        self,
        pool: Pool,
        codec: Codec,
        catalogue: Catalogue,
        producer: AsyncProducer,
        settings: SchedulerSettings,
        health: Health,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._codec = codec
        self._catalogue = catalogue
        self._producer = producer
        self._settings = settings
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._partitions: dict[int, _Partition] = {}
        self._arrivals: asyncio.Queue[_Arrival] = asyncio.Queue()
        self._storing = asyncio.Lock()
        self.arrived = asyncio.Event()

    async def run(self, source: KafkaSource) -> None:
        """Take over until the source ends.

        Raises:
            PipelineError: it cannot go on; what is not committed will be read again.
        """
        self._source = source
        reading = asyncio.ensure_future(source.run())
        storing = asyncio.ensure_future(self._store_all())
        try:
            done, _ = await asyncio.wait([reading, storing], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            source.stop()
            with suppress(Exception):
                await reading
            storing.cancel()
            await asyncio.gather(storing, return_exceptions=True)

    def assigned(self, partitions: Mapping[int, Position | None]) -> None:
        for number in partitions:
            self._partitions[number] = _Partition(number)

    def received(self, records: Sequence[Inbound]) -> None:
        for record in records:
            partition = self._partitions.get(record.partition)
            if partition is None:
                self._source.give_back()
            else:
                self._arrivals.put_nowait(_Arrival(partition, record))

    async def revoked(self, partitions: Collection[int]) -> Offsets:
        leaving = self._leave(partitions)
        async with self._storing:
            return {p.number: Position(p.done) for p in leaving if p.done is not None}

    def commit_refused(self, partitions: Collection[int]) -> None:
        ours = [self._partitions[number] for number in partitions if number in self._partitions]
        self._source.commit({p.number: Position(p.done) for p in ours if p.done is not None})

    def lost(self, partitions: Collection[int]) -> None:
        self._leave(partitions)

    def _leave(self, numbers: Collection[int]) -> list[_Partition]:
        leaving = [self._partitions.pop(number) for number in numbers if number in self._partitions]
        for partition in leaving:
            partition.gone = True
        return leaving

    async def _store_all(self) -> None:
        while True:
            batch = [await self._arrivals.get()]
            while not self._arrivals.empty() and len(batch) < self._settings.batch:
                batch.append(self._arrivals.get_nowait())
            async with self._storing:
                ours = [arrival for arrival in batch if not arrival.partition.gone]
                await self._store(ours)
            self._commit(ours)
            self._source.give_back(len(batch))

    async def _store(self, batch: Sequence[_Arrival]) -> None:
        parcel, rejected = Parcel(), list[Record]()
        jitter = int(self._settings.jitter * 1000)
        for arrival in batch:
            try:
                parcel.add(await self._decode(arrival.record), arrival.record, self._catalogue, jitter)
            except MalformedRecord as error:
                rejected.append(self._rejected(arrival.record, error))
        await self._patiently(parcel, rejected)
        for arrival in batch:
            arrival.partition.done = arrival.record.offset + 1
        self.arrived.set()

    async def _patiently(self, parcel: Parcel, rejected: Sequence[Record]) -> None:
        async def write() -> None:
            with reachable():
                async with self._pool.acquire() as connection, connection.transaction():
                    await waiting.add(connection, parcel.waits)
                    await digests.join(connection, parcel.items)
                    await waiting.cancel(connection, parcel.cancels)
                    await digests.cancel(connection, parcel.cancels)
            await self._producer.send_all(rejected)

        await until_available("postgresql intake", write, away=TRY_AGAIN, health=self._health)

    def _commit(self, batch: Sequence[_Arrival]) -> None:
        done = {a.partition.number: a.partition.done for a in batch if not a.partition.gone}
        self._source.commit({number: Position(offset) for number, offset in done.items() if offset is not None})

    async def _decode(self, record: Inbound) -> Deferred:
        try:
            return self._codec.decode_deferred(record.value)
        except UnknownSchema as unknown:
            schema_id = unknown.schema_id
            learn = self._codec.book.learn
            if not await until_available("schemas", lambda: learn(schema_id), away=(Unavailable,), health=self._health):
                raise
            return self._codec.decode_deferred(record.value)

    def _rejected(self, record: Inbound, error: MalformedRecord) -> Record:
        """What cannot be read goes to the dead letters as it is; the header says that it was deferred."""
        logger.warning("a deferred record at partition %d, offset %d: %s", record.partition, record.offset, error)
        self._metrics.dead_lettered.labels(INGEST_DLQ, error.reason).inc()
        return dead_letter(
            INGEST_DLQ,
            key=record.key,
            value=record.value,
            headers=record.headers,
            topic=DEFERRED,
            partition=record.partition,
            offset=record.offset,
            reason=error.reason,
            error=str(error),
            attempts=0,
            now=self._clock(),
        )
