"""When what waits is due, and milliseconds as PostgreSQL keeps them. Pure."""

import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pipeline.events.records import Deferred
from pipeline.events.vocabulary import Priority, Reason

Clock = Callable[[], int]
"""Milliseconds since the epoch."""

LATEST = 7_258_118_400_000
"""The last instant that an event may name (2200-01-01): what should wait longer waits till then."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def due_at(deferred: Deferred, jitter: int) -> int:
    """The instant (ms) from which on it may be released; the same however often it is asked.

    What waits for the end of quiet hours is spread over `jitter` ms, since that end is the same for whole countries; all
    of a user's at one instant, so that they keep their order. Critical notifications and asked times are kept to.
    """
    until = min(max(deferred.until, 0), LATEST)
    if deferred.reason is not Reason.QUIET_HOURS or deferred.priority is Priority.CRITICAL or jitter <= 0:
        return until
    spread = until + zlib.crc32(deferred.event.recipient_id.encode()) % jitter
    expires_at = deferred.event.expires_at
    return spread if expires_at is None or spread < expires_at else until


def instant(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND


def milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MILLISECOND
