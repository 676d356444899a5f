"""What the store knows: a user's notifications, newest first, and all that happened with one event."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg

from pipeline.events.records import DeliveryStatus
from pipeline.events.vocabulary import Channel, Priority, Reason, Status
from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql

WINDOWS = (timedelta(days=14), timedelta(days=56), timedelta(days=36_500))
"""How far back is looked at first, then, each time from where the last look ended: a page of an active user comes from a
few partitions. Each partition that is looked at costs some 50 µs, whatever is in it."""

_LAST = UUID(int=2**128 - 1)
_EVER = datetime(1, 1, 1, tzinfo=UTC)
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)


class Notification(NamedTuple):
    """Where one notification stands. `channel` is None for an event that never got as far as channels."""

    notification_id: str
    event_id: str
    event_type: str
    category: str
    source: str
    channel: Channel | None
    priority: Priority
    status: Status
    reason: Reason
    provider: str
    in_doubt: bool
    created_at: datetime
    changed_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    """When the user first read or opened it, or followed its link."""


class Cursor(NamedTuple):
    """After which notification the next page begins: of the page before, the last one's time and id."""

    created_at: datetime
    notification_id: str


class History:
    """Reads. Both methods raise `Unavailable` when PostgreSQL is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def of_user(
        self, user_id: str, *, after: Cursor | None = None, channel: Channel | None = None, limit: int = 50,
        now: datetime | None = None,
    ) -> list[Notification]:  # fmt: skip
        """A page of at most `limit`, newest first. What is in the archive is not in it."""
        begin = after.created_at if after else (now or datetime.now(UTC)) + timedelta(days=2)
        last = UUID(after.notification_id) if after else _LAST
        until = begin + timedelta(microseconds=1)
        rows: list[asyncpg.Record] = []
        for window in WINDOWS:
            since = begin - window if begin - _EVER > window else _EVER
            with reachable():
                rows += await self._pool.fetch(
                    sql("history_of_user"), user_id, since, until, begin, last, channel, limit - len(rows)
                )
            until = since
            if len(rows) >= limit:
                break
        return [_notification(row) for row in rows]

    async def of_event(
        self, event_id: str, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[DeliveryStatus]:
        """All that happened with the event, in order. Whoever knows about when saves a look into every partition's index."""
        with reachable():
            rows = await self._pool.fetch(sql("statuses_of_event"), event_id, since or _EVER, until or _NEVER)
        return [_status(row) for row in rows]


def _notification(row: asyncpg.Record) -> Notification:
    reads = [at for at in (row["read_at"], row["opened_at"], row["clicked_at"]) if at is not None]
    return Notification(
        str(row["notification_id"]),
        row["event_id"],
        row["event_type"],
        row["category"],
        row["source"],
        Channel(row["channel"]) if row["channel"] else None,
        Priority(row["priority"]),
        Status(row["status"]),
        Reason(row["reason"]),
        row["provider"],
        row["in_doubt"],
        row["created_at"],
        row["changed_at"],
        row["sent_at"],
        row["delivered_at"],
        min(reads, default=None),
    )


def _status(row: asyncpg.Record) -> DeliveryStatus:
    fields = dict(row)
    return DeliveryStatus(
        **fields
        | {
            "notification_id": str(fields["notification_id"]),
            "channel": Channel(fields["channel"]) if fields["channel"] else None,
            "priority": Priority(fields["priority"]),
            "status": Status(fields["status"]),
            "reason": Reason(fields["reason"]),
            "occurred_at": _milliseconds(fields["occurred_at"]),
            "created_at": _milliseconds(fields["created_at"]),
        }
    )


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)
