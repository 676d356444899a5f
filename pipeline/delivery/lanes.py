"""A line for each user: first in, first out, one item under way at a time, and waiting takes nobody's place. Pure."""

import heapq
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Lane(Generic[T]):
    """One user's items; the first is the one that is ready, under way or parked. `until` is None unless parked."""

    __slots__ = ("items", "under_way", "until")

    def __init__(self, item: T) -> None:
        self.items = deque((item,))
        self.under_way = False
        self.until: float | None = None


class Lanes(Generic[T]):
    """Lanes by key. A lane is ready, under way (its first item was taken) or parked until a time.

    Ready lanes take turns, so that a user with a thousand items delays another by one. Times are seconds of whatever
    clock the caller reads. Memory is bounded by the caller: it adds no more than it may have in flight.
    """

    def __init__(self) -> None:
        self._lanes: dict[bytes, _Lane[T]] = {}
        self._ready: deque[bytes] = deque()
        self._parked: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        """Items in all lanes, those under way included."""
        return sum(len(lane.items) for lane in self._lanes.values())

    @property
    def parked(self) -> int:
        """Lanes that wait for a time."""
        return sum(lane.until is not None for lane in self._lanes.values())

    def ready(self) -> int:
        """Lanes that can be taken from, at most."""
        return len(self._ready)

    def add(self, key: bytes, item: T) -> None:
        """Append to the user's lane."""
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = _Lane(item)
            self._ready.append(key)
        else:
            lane.items.append(item)

    def take(self) -> T | None:
        """The first item of the lane whose turn it is, under way from now on; None if no lane is ready."""
        while self._ready:
            lane = self._lanes.get(self._ready.popleft())
            if lane is not None and not lane.under_way and lane.until is None:
                lane.under_way = True
                return lane.items[0]
        return None

    def finish(self, key: bytes) -> None:
        """The item under way is over; the next of its lane gets in line."""
        lane = self._lanes[key]
        lane.items.popleft()
        lane.under_way = False
        self._requeue(key, lane)

    def park(self, key: bytes, until: float) -> None:
        """The item under way stays first, and its lane waits until that time."""
        lane = self._lanes[key]
        lane.under_way = False
        lane.until = until
        heapq.heappush(self._parked, (until, key))

    def wake(self, now: float) -> float | None:
        """Make ready what was parked until `now` or before; the time of the next that wakes, None if none is parked."""
        while self._parked and self._parked[0][0] <= now:
            until, key = heapq.heappop(self._parked)
            lane = self._lanes.get(key)
            if lane is not None and lane.until == until:
                lane.until = None
                self._ready.append(key)
        return self._parked[0][0] if self._parked else None

    def unpark(self, wanted: Callable[[T], bool], count: int | None) -> int:
        """Make ready up to `count` (None: all) parked lanes whose first item is wanted, those first that wake first.

        Returns how many.
        """
        found = [(until, key) for until, key in self._parked if self._is_parked(key, until, wanted)]
        chosen = sorted(set(found))[:count]
        for _, key in chosen:
            self._lanes[key].until = None
            self._ready.append(key)
        return len(chosen)

    def _is_parked(self, key: bytes, until: float, wanted: Callable[[T], bool]) -> bool:
        lane = self._lanes.get(key)
        return lane is not None and lane.until == until and wanted(lane.items[0])

    def drop(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out and return what is unwanted, but for what is under way: that finishes by itself."""
        dropped: list[T] = []
        for key, lane in list(self._lanes.items()):
            kept = deque(lane.items)
            held = [kept.popleft()] if lane.under_way else []
            gone = [item for item in kept if unwanted(item)]
            if not gone:
                continue
            dropped += gone
            was_parked_on = None if lane.until is None else lane.items[0]
            lane.items = deque(held + [item for item in kept if not unwanted(item)])
            if lane.under_way:
                continue
            if lane.until is not None and lane.items and lane.items[0] is was_parked_on:
                continue
            lane.until = None
            self._requeue(key, lane)
        return dropped

    def _requeue(self, key: bytes, lane: _Lane[T]) -> None:
        if lane.items:
            self._ready.append(key)
        else:
            del self._lanes[key]
