"""From status records to rows: one for each record, one for where each notification stands, and counts. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import NamedTuple

from pipeline.errors import MalformedRecord
from pipeline.events.records import DeliveryStatus
from pipeline.events.vocabulary import TERMINAL, Status

HOUR = 3_600_000

_is_uuid = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
"""In the one spelling that PostgreSQL gives back; `uuid.UUID` costs four times as much."""


class EventRow(NamedTuple):
    """A row of ``status_events``; the columns' order is that of the fields."""

    occurred_at: datetime
    created_at: datetime
    notification_id: str
    event_id: str
    idempotency_key: str
    recipient_id: str
    event_type: str
    category: str
    source: str
    channel: str
    priority: str
    status: str
    reason: str
    rule: str
    policy_version: str
    provider: str
    provider_message_id: str
    attempt: int
    in_doubt: bool
    trace_id: str

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for records that say the same thing again."""
        return (self.event_id, self.notification_id, self.occurred_at, self.status, self.attempt)


class Counted(NamedTuple):
    """What is counted together: a row of ``status_counts`` without its count. `hour` in ms, `shard` a partition."""

    hour: int
    channel: str
    category: str
    provider: str
    status: str
    reason: str
    shard: int


class HistoryRow(NamedTuple):
    """A row of ``history``; the columns' order is that of the fields."""

    created_at: datetime
    notification_id: str
    recipient_id: str
    event_id: str
    event_type: str
    category: str
    source: str
    channel: str
    priority: str
    status: str
    reason: str
    provider: str
    attempt: int
    in_doubt: bool
    stage: int
    changed_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    opened_at: datetime | None
    clicked_at: datetime | None
    read_at: datetime | None


STAGE: dict[Status, int] = {
    **dict.fromkeys(Status, 0),
    **dict.fromkeys(TERMINAL, 1),
    Status.DELIVERED: 2,
    Status.BOUNCED: 3,
    Status.OPENED: 4,
    Status.CLICKED: 5,
    Status.READ: 6,
    Status.UNSUBSCRIBED: 7,
    Status.COMPLAINED: 8,
}
"""How far along the way a status is. A receipt that overtakes ``sent`` is not taken back by it; within a stage the
later record counts."""

_MARKS: dict[str, tuple[int, bool, bool, bool, bool, bool]] = {
    s: (STAGE[s], s == Status.SENT, s == Status.DELIVERED, s == Status.OPENED, s == Status.CLICKED, s == Status.READ)
    for s in Status
}
"""Its stage, and which of the times of `HistoryRow` a status sets. Looked up for each record, hence a table."""

_rank = itemgetter(
    *(HistoryRow._fields.index(f) for f in ("stage", "changed_at", "attempt", "status", "reason", "provider"))
)
"""Compared by ``merge_staged_history.sql`` in the same order."""


def event_row(status: DeliveryStatus) -> EventRow:
    """The record as a row.

    Raises:
        MalformedRecord: it has what PostgreSQL cannot hold: an id that is no UUID, a NUL character, a time out of range.
    """
    if not _is_uuid(status.notification_id):
        raise MalformedRecord(f"cannot be stored: notification_id {status.notification_id!r} is no UUID")
    try:
        return EventRow(
            datetime.fromtimestamp(status.occurred_at / 1000, UTC),
            datetime.fromtimestamp(status.created_at / 1000, UTC),
            status.notification_id,
            status.event_id,
            status.idempotency_key,
            status.recipient_id,
            status.event_type,
            status.category,
            status.source,
            status.channel or "",
            status.priority,
            status.status,
            status.reason,
            status.rule,
            status.policy_version,
            status.provider,
            status.provider_message_id,
            status.attempt,
            status.in_doubt,
            status.trace_id,
        )
    except (ValueError, OverflowError, OSError) as error:
        raise MalformedRecord(f"cannot be stored: a time is out of range: {error}") from None


def refuse_nul(row: EventRow) -> None:
    """Apart from `event_row`, because it is needed so rarely.

    Raises:
        MalformedRecord: a text has a NUL character, which PostgreSQL has no place for.
    """
    for name, value in zip(row._fields, row, strict=True):
        if isinstance(value, str) and "\0" in value:
            raise MalformedRecord(f"cannot be stored: {name} has a NUL character")


def history_row(row: EventRow) -> HistoryRow:
    """Where the notification stands if this is all that is known."""
    at, created, id_, event, _, recipient, kind, category, source, channel, priority, status, reason = row[:13]
    stage, sent, delivered, opened, clicked, read = _MARKS[status]
    return HistoryRow(
        created,
        id_,
        recipient,
        event,
        kind,
        category,
        source,
        channel,
        priority,
        status,
        reason,
        row.provider,
        row.attempt,
        row.in_doubt,
        stage,
        at,
        at if sent else None,
        at if delivered else None,
        at if opened else None,
        at if clicked else None,
        at if read else None,
    )


def fold(one: HistoryRow, other: HistoryRow) -> HistoryRow:
    """Both together; the order, and saying it again, make no difference."""
    ahead = max(one, other, key=_rank)
    return ahead._replace(
        in_doubt=one.in_doubt or other.in_doubt,
        sent_at=_earlier(one.sent_at, other.sent_at),
        delivered_at=_earlier(one.delivered_at, other.delivered_at),
        opened_at=_earlier(one.opened_at, other.opened_at),
        clicked_at=_earlier(one.clicked_at, other.clicked_at),
        read_at=_earlier(one.read_at, other.read_at),
    )


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)


def history_rows(rows: Iterable[EventRow]) -> list[HistoryRow]:
    """One row for each notification, in the order of their keys (whoever locks them does it in one order)."""
    found: dict[tuple[str, datetime, str], HistoryRow] = {}
    for row in rows:
        key = (row.recipient_id, row.created_at, row.notification_id)
        known, made = found.get(key), history_row(row)
        found[key] = made if known is None else fold(known, made)
    return [found[key] for key in sorted(found)]


def count(rows: Sequence[tuple[EventRow, int]]) -> dict[Counted, int]:
    """How often each thing happened; rows come with their Kafka partition."""
    found = Counter(
        (int(r.occurred_at.timestamp()) // 3600, r.channel, r.category, r.provider, r.status, r.reason, shard)
        for r, shard in rows
    )
    return {Counted(key[0] * HOUR, *key[1:]): number for key, number in found.items()}
