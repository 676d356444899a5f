"""What the records that another holder may have had in hand are, when a partition comes to us. Pure.

A holder takes records in their order, and has at most so many in line, and so many of one user; what is beyond a user's
share waits aside, and is not begun. So what it may have begun are the first so many records from its last commit on that
nobody knows to be finished, and of each user the first few. Of these Redis knows, if it has not been emptied since.
"""

from collections import Counter
from collections.abc import Mapping
from enum import Enum, auto

from pipeline.delivery.entry import Closed, Final, Progress
from pipeline.delivery.ledger import Found, State
from pipeline.delivery.offset_map import Memory
from pipeline.events.records import DeliveryStatus, Dispatch
from pipeline.events.vocabulary import TERMINAL, WAITING, Origin

Told = Mapping[str, DeliveryStatus]
"""The last outcome on the status topic by notification id."""


class Verdict(Enum):
    """What a record of a partition that was taken over is."""

    ORDINARY = auto()
    """What the ledger says of it is all there is to know."""
    SUSPECT = auto()
    """It may have been sent, and nobody knows."""
    FINISHED = auto()
    """The status topic tells how it ended."""


class Takeover:
    """The records of one partition that its last holder may have had in hand.

    `end`: where the partition ended after it had come to us, None as long as that is not known; what came later nobody
    had. `told`: outcomes on the status
    topic, None as long as nobody needed to look.
    """

    __slots__ = ("_last", "_left", "_of_user", "end", "memory", "told")

    def __init__(self, memory: Memory, end: int | None = None) -> None:
        self.memory = memory
        self.end = end
        self.told: Told | None = None
        self._left = memory.in_hand
        self._of_user: Counter[str] = Counter()
        self._last = -1

    def covers(self, offset: int) -> bool:
        """Whether the last holder may have had it in hand. (Asked in order.)"""
        return self._left > 0 and (self.end is None or offset < self.end)

    def judge(self, offset: int, dispatch: Dispatch, rank: int, found: Found, epoch: str) -> Verdict:
        """Of a covered record that was leased while Redis was in `epoch`. Asked once of each, in order."""
        self._last = offset
        verdict = self._verdict(dispatch, rank, found, epoch)
        if verdict is Verdict.FINISHED or found.state is State.ACCOUNTED:
            return verdict
        self._of_user[dispatch.event.recipient_id] += 1
        if self._of_user[dispatch.event.recipient_id] > self.memory.share:
            return Verdict.ORDINARY
        self._left -= 1
        return verdict

    def is_over(self, committable: int | None) -> bool:
        """Whether nothing is left that only its last holder knows of: all that it covers is finished."""
        if committable is None:
            return False
        return (self.end is not None and committable >= self.end) or (self._left <= 0 and committable > self._last)

    def _verdict(self, dispatch: Dispatch, rank: int, found: Found, epoch: str) -> Verdict:
        if epoch == self.memory.epoch or found.state is not State.LEASED or found.body:
            return Verdict.ORDINARY
        told = (self.told or {}).get(dispatch.notification_id)
        return Verdict.FINISHED if told is not None and _ends(told, dispatch, rank) else Verdict.SUSPECT


def _ends(status: DeliveryStatus, dispatch: Dispatch, rank: int) -> bool:
    """Whether that outcome is one of this very round.

    What waits (deferred, dead-lettered) may come again, and clocks differ: of a notification that has come again
    before, an outcome that only waits is not believed.
    """
    if status.status in WAITING and (dispatch.origin is not Origin.INGEST or rank != dispatch.decided_at):
        return False
    return status.status in TERMINAL | WAITING and status.occurred_at >= dispatch.decided_at


def closed_by(status: DeliveryStatus, rank: int) -> Closed:
    """What the ledger would hold of an outcome that is told."""
    progress = Progress(
        rank,
        attempts=status.attempt,
        doubted=status.in_doubt,
        provider=status.provider,
        message_id=status.provider_message_id,
    )
    return Closed(
        progress,
        Final(
            status.status,
            status.reason,
            status.provider,
            status.provider_message_id,
            status.attempt,
            status.in_doubt,
            status.occurred_at,
        ),
    )
