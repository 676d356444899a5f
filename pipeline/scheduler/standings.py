"""How the channels before a step stand when it is due: one query for all that are released together."""

import uuid
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import asyncpg

from pipeline.catalogue.model import Catalogue, Entry
from pipeline.escalation.judge import step_of, turns_before
from pipeline.escalation.standing import Standing
from pipeline.events.ids import notification_id
from pipeline.events.records import Deferred
from pipeline.events.vocabulary import Channel, Status
from pipeline.scheduler.times import instant, milliseconds
from pipeline.storage.postgres import Connection
from pipeline.storage.scripts import sql

_BACK = (Status.BOUNCED, Status.FAILED)
"""Statuses of what was sent and did not arrive."""


class _Asked(NamedTuple):
    """One channel before a step. `named`: it is a part of the event, as far as anybody can tell."""

    step: str
    channel: Channel
    unit: uuid.UUID
    deferred: Deferred
    named: bool


async def find_standings(
    connection: Connection, waits: Iterable[Deferred], catalogue: Catalogue, now: int
) -> dict[str, dict[Channel, Standing]]:
    """At `now` (ms), by notification id, for those that are steps; the others are not in it, and cost nothing."""
    asked = [one for deferred in waits for one in _before(deferred, catalogue)]
    if not asked:
        return {}
    found = await _look(connection, asked)
    standings: dict[str, dict[Channel, Standing]] = {one.step: {} for one in asked}
    for one in asked:
        standing = _standing(found[one.unit], now)
        if one.named or standing != Standing():
            standings[one.step][one.channel] = standing
    return standings


def _before(deferred: Deferred, catalogue: Catalogue) -> Iterable[_Asked]:
    event = deferred.event
    entry = (catalogue.find(event.event_type) or catalogue.default(event.event_type)).entry
    if step_of(entry.steps, deferred.channel) is None:
        return
    named = _named(deferred, entry)
    for turn in turns_before(entry.steps, deferred.channel):
        for channel in turn:
            unit = uuid.UUID(notification_id(event.idempotency_key, event.recipient_id, channel))
            yield _Asked(deferred.notification_id, channel, unit, deferred, channel in named)


def _named(deferred: Deferred, entry: Entry) -> Sequence[Channel]:
    """What was released before names its own channel alone; then the catalogue's channels are the best guess."""
    hints = deferred.event.channels
    return entry.channels if not hints or hints == [deferred.channel] else hints


async def _look(connection: Connection, asked: Sequence[_Asked]) -> dict[uuid.UUID, asyncpg.Record]:
    rows = await connection.fetch(
        sql("standings"),
        [one.unit for one in asked],
        [one.deferred.event.recipient_id for one in asked],
        [instant(one.deferred.event.created_at) for one in asked],
        [instant(one.deferred.deferred_at) for one in asked],
    )
    return {row["notification_id"]: row for row in rows}


def _standing(row: asyncpg.Record, now: int) -> Standing:
    """What is overdue goes now: after an outage steps do not go all at once."""
    waits, clicked, seen = row["waits_until"], row["clicked_at"], row["seen_at"]
    went = [milliseconds(at) for at in (row["went_at"], row["sent_at"]) if at is not None]
    return Standing(
        at=max(went, default=None) if waits is None else max(milliseconds(waits), now),
        waits=waits is not None,
        sent=row["sent_at"] is not None and row["status"] not in _BACK,
        seen=None if seen is None else milliseconds(seen),
        clicked=None if clicked is None else milliseconds(clicked),
    )
