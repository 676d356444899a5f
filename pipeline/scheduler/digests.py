"""Digests and their items, in PostgreSQL. Every method works inside the caller's transaction."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from pipeline.events.vocabulary import Channel
from pipeline.scheduler.parcel import CancelRow, DigestItem, DigestKey
from pipeline.scheduler.times import instant, milliseconds
from pipeline.scheduler.windows import Window, fold
from pipeline.storage.postgres import Connection
from pipeline.storage.scripts import sql


class Collected(NamedTuple):
    """One item as it lies in its digest; `verdict` None: not settled yet."""

    notification_id: uuid.UUID
    verdict: str | None
    reason: str
    rule: str
    settled_at: datetime | None
    traceparent: bytes | None
    record: bytes


class Full(NamedTuple):
    """A digest that is locked for us, with its items in the order in which they came."""

    digest_id: uuid.UUID
    recipient_id: str
    channel: Channel
    event_type: str
    key: str
    into_type: str
    most_items: int
    sealed_at: datetime | None
    items: list[Collected]


class Settled(NamedTuple):
    """What becomes of an item."""

    notification_id: uuid.UUID
    verdict: str
    reason: str
    rule: str


async def join(connection: Connection, items: Sequence[DigestItem]) -> None:
    """Let items join the digests of their keys, in order; what has joined before (read again) is left where it is.

    Raises:
        asyncpg.UniqueViolationError: another scheduler let the same items join, or opened the same digest: try again.
    """
    fresh = await _unknown(connection, items)
    if not fresh:
        return
    by_key: dict[DigestKey, list[DigestItem]] = {}
    for item in fresh.values():
        by_key.setdefault(item.key, []).append(item)
    windows = await _joinable(connection, by_key)
    rows: list[tuple[object, ...]] = []
    digest_of: dict[str, uuid.UUID] = {}
    for key, same in by_key.items():
        spec = same[-1].spec
        folded = fold(windows.get(key), [item.item for item in same], spec)
        digest_of |= folded.digest_of
        rows += [_digest_row(key, window, spec.type, spec.most_items) for window in folded.windows]
    await connection.execute(sql("put_digests"), *_columns(rows, 11))
    members = [_member_row(item, digest_of[item.item.notification_id]) for item in fresh.values()]
    await connection.execute(sql("add_digest_items"), *_columns(members, 8))


async def cancel(connection: Connection, cancels: Sequence[CancelRow]) -> None:
    """What is taken back is left out of its digest, unless that is sealed."""
    if cancels:
        await connection.execute(sql("cancel_digest_items"), *_columns(cancels, len(CancelRow._fields)))


async def lock_due(connection: Connection, now: int, limit: int) -> list[Full]:
    """Open digests that are due at `now` (ms); ours until the transaction ends."""
    return await _full(connection, await connection.fetch(sql("lock_due_digests"), instant(now), limit))


async def lock_sealed(connection: Connection, limit: int) -> list[Full]:
    """Sealed digests whose records are to be written; ours until the transaction ends."""
    return await _full(connection, await connection.fetch(sql("lock_sealed_digests"), limit))


async def seal(connection: Connection, digests: Sequence[Full], settled: Sequence[Settled], now: int) -> None:
    """From now on nothing joins, and what became of each item stands."""
    await connection.execute(sql("settle_digest_items"), *_columns(settled, 4), instant(now))
    await connection.execute(sql("seal_digests"), [digest.digest_id for digest in digests], instant(now))


async def finish(connection: Connection, digests: Sequence[Full]) -> None:
    """All their records are written."""
    await connection.execute(sql("finish_digests"), [digest.digest_id for digest in digests])


async def _unknown(connection: Connection, items: Sequence[DigestItem]) -> dict[uuid.UUID, DigestItem]:
    """Those that are in no digest yet, each once, in order."""
    asked: dict[uuid.UUID, DigestItem] = {}
    for item in items:
        asked.setdefault(uuid.UUID(item.item.notification_id), item)
    known = {row["notification_id"] for row in await connection.fetch(sql("known_digest_items"), list(asked))}
    return {unit: item for unit, item in asked.items() if unit not in known}


async def _joinable(connection: Connection, keys: Mapping[DigestKey, object]) -> dict[DigestKey, Window]:
    rows = await connection.fetch(sql("lock_joinable_digests"), *_columns(list(keys), len(DigestKey._fields)))
    return {
        DigestKey(row["recipient_id"], row["channel"], row["event_type"], row["digest_key"]): Window(
            row["digest_id"], milliseconds(row["opened_at"]), milliseconds(row["due_at"]), row["items"], row["joinable"]
        )
        for row in rows
    }


async def _full(connection: Connection, rows: Sequence[asyncpg.Record]) -> list[Full]:
    items: dict[uuid.UUID, list[Collected]] = {row["digest_id"]: [] for row in rows}
    for item in await connection.fetch(sql("items_of_digests"), list(items)) if rows else ():
        items[item["digest_id"]].append(
            Collected(
                item["notification_id"],
                item["verdict"],
                item["reason"] or "",
                item["rule"] or "",
                item["settled_at"],
                item["traceparent"],
                item["record"],
            )
        )
    return [
        Full(
            row["digest_id"],
            row["recipient_id"],
            Channel(row["channel"]),
            row["event_type"],
            row["digest_key"],
            row["into_type"],
            row["most_items"],
            row["sealed_at"],
            items[row["digest_id"]],
        )
        for row in rows
    ]


def _digest_row(key: DigestKey, window: Window, into_type: str, most_items: int) -> tuple[object, ...]:
    times = (instant(window.opened_at), instant(window.due_at))
    return (window.digest_id, *key, into_type, most_items, *times, window.items, window.joinable)


def _member_row(item: DigestItem, digest_id: uuid.UUID) -> tuple[object, ...]:
    unit = uuid.UUID(item.item.notification_id)
    at = instant(item.item.at)
    return (
        unit, digest_id, item.key.recipient_id, item.idempotency_key, at, item.arrival, item.traceparent, item.record
    )  # fmt: skip


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [[row[i] for row in rows] for i in range(width)]
