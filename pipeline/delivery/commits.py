"""When and what to commit of a partition: the finished prefix, and the map of what has finished beyond it. Pure."""

from collections.abc import Callable
from typing import NamedTuple

from pipeline.config import DeliverySettings
from pipeline.delivery.offset_map import Memory, encode
from pipeline.delivery.work import Partition
from pipeline.kafka.inbound import Position

CRAMPED, ROOMY = 0.75, 0.5
"""Shares of the limit: a map that has grown beyond the one takes in no more records until it has shrunk to the other.
What is in hand by then still finishes, and that the map mostly has room for."""

REFRESH = 60.0
"""Seconds after which a commit is repeated although nothing has changed: a successor reads the outcomes since then."""

NOTHING_BEGUN = ""
"""The epoch of who has nothing begun: what is not finished was not sent, whether Redis knows of it or not."""

UNKNOWN = "?"
"""No epoch of Redis: what Redis lacks may have been sent."""


class Stamp(NamedTuple):
    """What a commit was made of: as long as it is the same, nothing needs to be committed."""

    offset: int
    changes: int
    epoch: str


class Commits:
    """Makes the commits of one engine.

    `limit`: characters of metadata; `in_hand`: records in line at most, `share`: those of one user.
    """

    def __init__(self, limit: int, in_hand: int, share: int, now: Callable[[], int]) -> None:
        self._limit = limit
        self._in_hand = in_hand
        self._share = share
        self._now = now

    @classmethod
    def of(cls, settings: DeliverySettings, now: Callable[[], int]) -> "Commits":
        return cls(settings.offset_metadata_max, settings.max_in_flight, settings.user_share, now)

    def due(self, partition: Partition, epoch: str) -> Position | None:
        """What to commit now; None if there is no news. `epoch`: the one in which Redis knows all that we have begun.

        Notes in `partition.cramped` whether it may take in more records.
        """
        offset, now = partition.tracker.committable(), self._now()
        if offset is None:
            return None
        if partition.takeover is not None:
            epoch = partition.takeover.memory.epoch
        stamp = Stamp(offset, partition.tracker.changes, epoch)
        if stamp == partition.stamp and now - partition.stamped_at < REFRESH * 1000:
            return None
        partition.stamp, partition.stamped_at = stamp, now
        return Position(offset, self._metadata(partition, offset, epoch, now))

    def refused(self) -> int:
        """The broker takes less metadata than that. Answers what will be tried from now on."""
        self._limit //= 2
        return self._limit

    def _metadata(self, partition: Partition, offset: int, epoch: str, now: int) -> str:
        """Until a takeover is over, its outcomes have to be looked for from where they began."""
        complete_at = now if partition.takeover is None else partition.takeover.memory.complete_at
        spans = partition.tracker.finished_beyond()
        memory = Memory(epoch, complete_at, self._in_hand, self._share, spans)
        text, complete = encode(memory, offset, self._limit)
        if complete:
            partition.complete_at = complete_at
        else:
            since = min(complete_at, partition.complete_at)
            text, _ = encode(memory._replace(complete_at=since), offset, self._limit)
        share = ROOMY if partition.cramped else CRAMPED
        partition.cramped = not complete or (bool(spans) and len(text) > share * self._limit)
        return text
