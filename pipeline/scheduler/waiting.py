"""What waits, in PostgreSQL. Every method works inside the caller's transaction, if there is one."""

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from pipeline.errors import PipelineError, Unavailable
from pipeline.events.vocabulary import Channel, Reason
from pipeline.scheduler.pace import Grant, grant
from pipeline.scheduler.parcel import CancelRow, WaitingRow
from pipeline.scheduler.times import instant
from pipeline.storage.postgres import Connection, Pool
from pipeline.storage.scripts import sql


class Overtaken(PipelineError):
    """Another scheduler changed the same rows at the same moment: try again."""


TRY_AGAIN: tuple[type[Exception], ...] = (
    Unavailable,
    Overtaken,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
)
"""PostgreSQL is away, or somebody else was faster: a transaction that failed so left nothing behind."""


class Held(NamedTuple):
    """A row that is locked for us. `over_at`: when its wait was over, or when it was stopped (ms and less)."""

    notification_id: uuid.UUID
    deferred_at: datetime
    due_at: datetime
    urgency: int
    reason: Reason
    traceparent: bytes | None
    state: str
    stopped_at: datetime | None
    record: bytes

    @property
    def over_at(self) -> datetime:
        return self.stopped_at or self.due_at


class Cursor(NamedTuple):
    """Behind which row of a channel and urgency to look: what comes before it was released or is being released."""

    due_at: datetime
    notification_id: uuid.UUID


START = Cursor(instant(0), uuid.UUID(int=0))


async def add(connection: Connection, rows: Sequence[WaitingRow]) -> None:
    """Enter waits; then of those with one collapse key the newest stays."""
    if not rows:
        return
    await connection.execute(sql("add_waiting"), *_columns(rows, len(WaitingRow._fields)))
    keyed = [(row.recipient_id, row.channel, row.collapse_key) for row in rows if row.collapse_key]
    if keyed:
        await connection.execute(sql("collapse_waiting"), *_columns(keyed, 3))


async def cancel(connection: Connection, cancels: Sequence[CancelRow]) -> None:
    """What is taken back and still waits is over; its status is written by whoever finds it first."""
    if cancels:
        await connection.execute(sql("cancel_waiting"), *_columns(cancels, len(CancelRow._fields)))


async def recheck(connection: Connection | Pool, limit: int) -> int:
    """Mark what waits for quiet hours that have changed; how many changes were looked at."""
    return int(await connection.fetchval(sql("recheck_waiting"), limit))


async def count_due(connection: Connection, channel: Channel, urgency: int, now: int, after: Cursor, limit: int) -> int:
    """How many are due at `now` (ms), at most `limit`."""
    arguments = (channel.value, urgency, instant(now), after.due_at, limit, after.notification_id)
    return int(await connection.fetchval(sql("peek_due"), *arguments))


async def oldest_due(pool: Pool, channel: Channel, urgencies: Sequence[int], now: int) -> datetime | None:
    """Since when the oldest of what is due at `now` (ms) has been due."""
    since: datetime | None = await pool.fetchval(sql("oldest_due"), channel.value, urgencies, instant(now))
    return since


async def lock_due(
    connection: Connection, channel: Channel, urgency: int, now: int, after: Cursor, limit: int
) -> list[Held]:
    """Those that are due at `now` (ms), the longest due first; ours until the transaction ends."""
    arguments = (channel.value, urgency, instant(now), after.due_at, limit, after.notification_id)
    return [_held(row) for row in await connection.fetch(sql("lock_due"), *arguments)]


async def lock_stopped(connection: Connection, limit: int) -> list[Held]:
    """Those that end or go on before their time; ours until the transaction ends."""
    return [_held(row) for row in await connection.fetch(sql("lock_stopped"), limit)]


async def finish(connection: Connection, rows: Collection[Held], state: str, now: int) -> None:
    """They wait no more since `now` (ms); `state` is ``released`` or ``ended``."""
    if rows:
        keys = [(row.notification_id, row.deferred_at, row.due_at) for row in rows]
        await connection.execute(sql("finish_waiting"), *_columns(keys, 3), state, instant(now))


async def take_pace(connection: Connection, channel: Channel, rate: float, wanted: int, now: int) -> int:
    """How many of `wanted` may go at `now` (ms), all schedulers counted."""
    if rate <= 0:
        return wanted
    async with connection.transaction():
        used = await connection.fetchval(sql("lock_pace"), channel.value, instant(now - 1_000))
        given: Grant = grant(_microseconds(used), now * 1_000, rate, wanted)
        await connection.execute(sql("put_pace"), channel.value, _number_of_microseconds(given.used_until))
    return given.allowed


def _microseconds(moment: datetime) -> int:
    since = moment - instant(0)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _number_of_microseconds(microseconds: int) -> datetime:
    return instant(microseconds // 1_000).replace(microsecond=microseconds % 1_000_000)


def _held(row: asyncpg.Record) -> Held:
    return Held(
        row["notification_id"],
        row["deferred_at"],
        row["due_at"],
        row["urgency"],
        Reason(row["reason"]),
        row["traceparent"],
        row["state"],
        row["stopped_at"],
        row["record"],
    )


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [[row[i] for row in rows] for i in range(width)]
