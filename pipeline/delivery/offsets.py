"""Which offset of a partition may be committed while records finish out of order. Pure."""

from collections import deque
from collections.abc import Iterable


class OffsetTracker:
    """Tracks the offsets that were delivered to us. Between two of them there may be holes: compaction, transactions.

    Every operation is O(1), amortised; memory is that of what is delivered and lies behind an unfinished record.
    """

    __slots__ = ("_finished", "_last", "_position", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()
        self._finished: set[int] = set()
        self._position: int | None = None
        self._last = -1

    def started(self, offset: int) -> bool:
        """Take charge of `offset`. False if it is not beyond all that came before: it is already in charge."""
        if offset <= self._last:
            return False
        self._last = offset
        self._waiting.append(offset)
        return True

    def finished(self, offset: int) -> None:
        """`offset`, started before, needs nothing any more."""
        self._finished.add(offset)
        waiting, finished = self._waiting, self._finished
        while waiting and waiting[0] in finished:
            self._position = waiting[0] + 1
            finished.discard(waiting.popleft())

    def committable(self) -> int | None:
        """One past the last of the finished prefix; None while the first delivered record is not finished."""
        return self._position

    def finished_beyond(self) -> Iterable[int]:
        """What is finished behind the first unfinished record, in order: a restart would be handed these again."""
        return (offset for offset in self._waiting if offset in self._finished)

    def unfinished(self) -> int:
        """How many are started and not finished."""
        return len(self._waiting) - len(self._finished)
