"""Takes the delivery-status topic over into PostgreSQL; an offset is committed only after its rows are durable there."""

import logging
from collections.abc import Sequence

import asyncpg

from pipeline.config import StoreSettings
from pipeline.errors import MalformedRecord, Unavailable, UnknownSchema
from pipeline.events.codec import Codec
from pipeline.kafka.batches import Arrival, Batches
from pipeline.kafka.inbound import Inbound
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


class Intake(Batches[EventRow | MalformedRecord]):
    """What is read in a record is a row, or why it is none."""

    def __init__(self, pool: Pool, codec: Codec, settings: StoreSettings, health: Health, metrics: Metrics) -> None:
        super().__init__(settings.batch)
        self._writer = Writer(pool)
        self._codec = codec
        self._health = health
        self._metrics = metrics

    def read(self, record: Inbound) -> EventRow | MalformedRecord:
        """A row of the store."""
        try:
            return event_row(self._codec.decode_status(record.value))
        except MalformedRecord as error:
            return error

    async def keep(self, arrivals: Sequence[Arrival[EventRow | MalformedRecord]]) -> None:
        """Write them, in one transaction."""
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

    async def _write(self, batch: Batch) -> Stored:
        return await until_available(
            "postgresql", lambda: self._writer.write(batch), away=TRY_AGAIN, health=self._health
        )

    async def _learn(self, record: Inbound, unknown: UnknownSchema) -> EventRow | MalformedRecord:
        learn = self._codec.book.learn
        await until_available("schemas", lambda: learn(unknown.schema_id), away=(Unavailable,), health=self._health)
        return self.read(record)

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
