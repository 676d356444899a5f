"""Which offset of a partition may be committed while records finish out of order. Pure."""

from collections import deque
from collections.abc import Sequence

from pipeline.delivery.offset_map import Span


class OffsetTracker:
    """Tracks the offsets that were delivered to us. Between two of them there may be holes: compaction, transactions.

    `known` are spans that an earlier holder had finished. Every operation but `finished_beyond` is O(1), amortised;
    memory is that of what is delivered and lies behind an unfinished record.
    """

    __slots__ = ("_finished", "_known", "_last", "_position", "_waiting", "changes")

    def __init__(self, known: Sequence[Span] = ()) -> None:
        self._waiting: deque[int] = deque()
        self._finished: set[int] = set()
        self._known = deque(known)
        self._position: int | None = None
        self._last = -1
        self.changes = 0
        """Grows with whatever changes what there is to commit."""

    def started(self, offset: int) -> bool:
        """Take charge of `offset`. False if there is nothing to do: it is already in charge, or known as finished."""
        if offset <= self._last:
            return False
        if self._position is None and not self._waiting:
            self.changes += 1
        self._last = offset
        if self._known and self._is_known(offset):
            self._skip(offset)
            return False
        self._waiting.append(offset)
        return True

    def finished(self, offset: int) -> None:
        """`offset`, started before, needs nothing any more."""
        self.changes += 1
        self._finished.add(offset)
        waiting, finished = self._waiting, self._finished
        while waiting and waiting[0] in finished:
            self._position = waiting[0] + 1
            finished.discard(waiting.popleft())

    def committable(self) -> int | None:
        """One past the last of the finished prefix, or the first offset delivered; None before there is one."""
        if self._position is None and self._waiting:
            return self._waiting[0]
        return self._position

    def finished_beyond(self) -> list[Span]:
        """What is finished behind the first unfinished record: a restart would be handed these again. O(delivered)."""
        spans: list[Span] = []
        start = stop = -1
        for offset in self._waiting:
            if offset in self._finished:
                start, stop = (offset if start < 0 else start), offset + 1
            elif start >= 0:
                spans.append(Span(start, stop))
                start = -1
        if start >= 0:
            spans.append(Span(start, stop))
        for known in self._known:
            _append(spans, Span(max(known.start, self._last + 1), known.stop))
        return spans

    def _is_known(self, offset: int) -> bool:
        known = self._known
        while known and known[0].stop <= offset:
            known.popleft()
        if not known or known[0].start > offset:
            return False
        if known[0].stop == offset + 1:
            known.popleft()
        return True

    def _skip(self, offset: int) -> None:
        self.changes += 1
        if self._waiting:
            self._waiting.append(offset)
            self._finished.add(offset)
        else:
            self._position = offset + 1


def _append(spans: list[Span], span: Span) -> None:
    """In order, and without two that touch."""
    if spans and spans[-1].stop >= span.start:
        spans[-1] = Span(spans[-1].start, max(spans[-1].stop, span.stop))
    elif span.stop > span.start:
        spans.append(span)
