"""Writes a batch of statuses. Writing what is there already changes nothing."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg

from pipeline.kafka.inbound import Inbound
from pipeline.storage.postgres import Connection, Pool, reachable
from pipeline.storage.scripts import sql
from pipeline.store.rows import Counted, EventRow, HistoryRow, count, history_rows

TRANSACTION_TIMEOUT = 60.0
"""Seconds for a batch; a server slower than that is as good as away."""


class Stored(NamedTuple):
    """How many records of a batch were new, and how many were known."""

    new: int
    repeated: int


class Rejected(NamedTuple):
    """A record that cannot be stored as a status."""

    record: Inbound
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows, each with the Kafka partition it came from, and the records that are kept apart."""

    rows: list[tuple[EventRow, int]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


class Writer:
    """COPY goes straight into the table as long as nothing comes twice. Repeats come in spells (a restart, a replay),
    so after one was met batches go through a staging table, until one has none.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._straight = True

    async def write(self, batch: Batch) -> Stored:
        """Return when all of it is durable. Events and history are written side by side, each in a transaction of its
        own: a crash in between is made good when the batch is written again.

        Raises:
            Unavailable: PostgreSQL is away; writing again is harmless.
            asyncpg.DataError: a row has what PostgreSQL cannot hold.
        """
        rows = await self._without_erased(batch.rows)
        new, merged = await asyncio.gather(
            self._write_events(rows, batch.rejected), self._write_history(rows), return_exceptions=True
        )
        for outcome in (merged, new):
            if isinstance(outcome, BaseException):
                raise outcome
        assert isinstance(new, int)
        self._straight = new == len(rows)
        return Stored(new, len(batch.rows) - new)

    async def _without_erased(self, rows: list[tuple[EventRow, int]]) -> list[tuple[EventRow, int]]:
        """Of a user who was erased nothing is stored any more; such records count as known."""
        with reachable():
            found = await self._pool.fetch(sql("erased_among"), list({row.recipient_id for row, _ in rows}))
        erased = {str(record["user_id"]) for record in found}
        return [(row, shard) for row, shard in rows if row.recipient_id not in erased] if erased else rows

    async def _write_events(self, rows: list[tuple[EventRow, int]], rejected: Sequence[Rejected]) -> int:
        """Counted in the same transaction, so that the counts are those of the rows."""
        with reachable():
            async with self._pool.acquire() as connection, connection.transaction():
                new = await self._add(connection, rows)
                await _count(connection, new)
                await _reject(connection, rejected)
        return len(new)

    async def _write_history(self, rows: list[tuple[EventRow, int]]) -> None:
        with reachable():
            async with self._pool.acquire() as connection, connection.transaction():
                await _merge(connection, history_rows(row for row, _ in rows))

    async def _add(self, connection: Connection, rows: list[tuple[EventRow, int]]) -> list[tuple[EventRow, int]]:
        """Those that were not there."""
        if self._straight:
            try:
                async with connection.transaction():
                    await _copy(connection, "status_events", rows)
            except asyncpg.UniqueViolationError:
                self._straight = False
            else:
                return rows
        rows = list({row.key: (row, shard) for row, shard in rows}.values())
        await connection.execute(sql("stage_statuses"))
        await _copy(connection, "staged_statuses", rows)
        added = {tuple(key) for key in await connection.fetch(sql("add_staged_statuses"), timeout=TRANSACTION_TIMEOUT)}
        return [(row, shard) for row, shard in rows if row.key in added]


async def _copy(connection: Connection, table: str, rows: Sequence[tuple[EventRow, int]]) -> None:
    records = [row for row, _ in rows]
    await connection.copy_records_to_table(
        table, records=records, columns=EventRow._fields, timeout=TRANSACTION_TIMEOUT
    )


async def _merge(connection: Connection, rows: Sequence[HistoryRow]) -> None:
    """By COPY into a staging table: as arrays, which the driver looks at value by value, they cost twice as much."""
    if rows:
        await connection.execute(sql("stage_history"))
        await connection.copy_records_to_table(
            "staged_history", records=rows, columns=HistoryRow._fields, timeout=TRANSACTION_TIMEOUT
        )
        await connection.execute(sql("merge_staged_history"), timeout=TRANSACTION_TIMEOUT)


async def _count(connection: Connection, rows: Sequence[tuple[EventRow, int]]) -> None:
    counts = sorted(count(rows).items())
    if not counts:
        return
    columns: list[Sequence[object]] = list(zip(*(key for key, _ in counts), strict=True))
    hours = [datetime.fromtimestamp(key.hour / 1000, UTC) for key, _ in counts]
    await connection.execute(sql("add_counts"), hours, *columns[1 : len(Counted._fields)], [n for _, n in counts])


async def _reject(connection: Connection, rejected: Sequence[Rejected]) -> None:
    if rejected:
        await connection.execute(
            sql("add_rejected"),
            [r.record.partition for r in rejected],
            [r.record.offset for r in rejected],
            [datetime.fromtimestamp(r.record.timestamp / 1000, UTC) for r in rejected],
            [r.reason for r in rejected],
            [r.error.replace("\0", "�") for r in rejected],
            [r.record.key for r in rejected],
            [r.record.value for r in rejected],
        )
