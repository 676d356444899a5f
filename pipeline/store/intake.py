"""Takes the delivery-status topic over into PostgreSQL; an offset is committed only after its rows are durable there."""

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import asyncpg

from pipeline.config import StoreSettings
from pipeline.errors import MalformedRecord, Unavailable, UnknownSchema
from pipeline.events.codec import Codec
from pipeline.kafka.inbound import Inbound, Offsets, Position, Unremembering
from pipeline.kafka.source import KafkaSource
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.observability.patience import until_available
from pipeline.storage.postgres import Pool
from pipeline.store.rows import EventRow, event_row, refuse_nul
from pipeline.store.writer import Batch, Rejected, Stored, Writer

logger = logging.getLogger(__name__)

TRY_AGAIN: tuple[type[BaseException], ...] = (
    Unavailable,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.CheckViolationError,  # a partition was made or dropped under a row on its way; routed afresh it fits
)
"""Nothing of the batch was written, and it may be another time."""


class _Partition:
    """A partition while it is ours: up to where its rows are durable, and whether it has gone to another."""

    __slots__ = ("done", "gone", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.done: int | None = None
        self.gone = False


class _Arrival(NamedTuple):
    """A record and what was read in it: a row, or why it is none."""

    partition: _Partition
    record: Inbound
    read: EventRow | MalformedRecord


class Intake(Unremembering):
    """Listens to one source. Reads records while the batch before is being written."""

    def __init__(self, pool: Pool, codec: Codec, settings: StoreSettings, health: Health, metrics: Metrics) -> None:
        self._writer = Writer(pool)
        self._codec = codec
        self._settings = settings
        self._health = health
        self._metrics = metrics
        self._partitions: dict[int, _Partition] = {}
        self._arrivals: list[_Arrival] = []
        self._arrived = asyncio.Event()
        self._storing = asyncio.Lock()

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
        partitions, read = self._partitions, self._read
        ours = [_Arrival(p, r, read(r)) for r in records if (p := partitions.get(r.partition)) is not None]
        self._arrivals += ours
        self._arrived.set()
        if len(ours) < len(records):
            self._source.give_back(len(records) - len(ours))

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
            await self._arrived.wait()
            batch = self._arrivals[: self._settings.batch]
            del self._arrivals[: self._settings.batch]
            if not self._arrivals:
                self._arrived.clear()
            async with self._storing:
                ours = [arrival for arrival in batch if not arrival.partition.gone]
                await self._store(ours)
            self._commit(ours)
            self._source.give_back(len(batch))

    async def _store(self, arrivals: Sequence[_Arrival]) -> None:
        batch, records = Batch(), list[Inbound]()
        for arrival in arrivals:
            read = arrival.read
            if isinstance(read, UnknownSchema):
                read = await self._learn(arrival.record, read)
            if isinstance(read, MalformedRecord):
                batch.rejected.append(Rejected(arrival.record, read.reason, str(read)))
            else:
                batch.rows.append((read, arrival.record.partition))
                records.append(arrival.record)
        try:
            stored = await self._write(batch)
        except (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError):
            batch = _without_nul(records, batch)
            stored = await self._write(batch)
        self._tell(batch, stored)
        for arrival in arrivals:
            arrival.partition.done = arrival.record.offset + 1

    async def _write(self, batch: Batch) -> Stored:
        return await until_available(
            "postgresql", lambda: self._writer.write(batch), away=TRY_AGAIN, health=self._health
        )

    def _commit(self, arrivals: Sequence[_Arrival]) -> None:
        done = {a.partition.number: a.partition.done for a in arrivals if not a.partition.gone}
        self._source.commit({number: Position(offset) for number, offset in done.items() if offset is not None})

    def _read(self, record: Inbound) -> EventRow | MalformedRecord:
        try:
            return event_row(self._codec.decode_status(record.value))
        except MalformedRecord as error:
            return error

    async def _learn(self, record: Inbound, unknown: UnknownSchema) -> EventRow | MalformedRecord:
        learn = self._codec.book.learn
        await until_available("schemas", lambda: learn(unknown.schema_id), away=(Unavailable,), health=self._health)
        return self._read(record)

    def _tell(self, batch: Batch, stored: Stored) -> None:
        for rejected in batch.rejected:
            where = (rejected.record.partition, rejected.record.offset)
            logger.warning("status record at partition %d, offset %d: %s", *where, rejected.error)
        counts = self._metrics.store_records
        counts.labels("stored").inc(stored.new)
        counts.labels("repeated").inc(stored.repeated)
        counts.labels("rejected").inc(len(batch.rejected))


def _without_nul(records: Sequence[Inbound], batch: Batch) -> Batch:
    """The batch with the rows that PostgreSQL cannot hold among the rejected; `records` are those of the rows."""
    sifted = Batch(rejected=list(batch.rejected))
    for record, (row, shard) in zip(records, batch.rows, strict=True):
        try:
            refuse_nul(row)
        except MalformedRecord as error:
            sifted.rejected.append(Rejected(record, error.reason, str(error)))
        else:
            sifted.rows.append((row, shard))
    return sifted
