"""Keeps a user with very many records from filling an engine: what is beyond their share waits aside. Pure."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Aside(NamedTuple, Generic[T]):
    """`counted`: it takes room of what the engine may have in flight, for there was no other left."""

    item: T
    counted: bool


class Crowds(Generic[T]):
    """Each key has `share` places in line. Items beyond that wait aside, in order, `room` of them over all keys.

    A key whose line is half empty gets the next ones in: they come in small batches.
    """

    def __init__(self, share: int, room: int) -> None:
        self._share = share
        self._room = room
        self._in_line: Counter[bytes] = Counter()
        self._aside: dict[bytes, deque[Aside[T]]] = {}
        self._uncounted = 0

    def __len__(self) -> int:
        """Items aside."""
        return sum(map(len, self._aside.values()))

    def put(self, key: bytes, item: T) -> Aside[T] | None:
        """None: it is in line now; else it waits aside."""
        waiting = self._aside.get(key)
        if waiting is None and self._in_line[key] < self._share:
            self._in_line[key] += 1
            return None
        aside = Aside(item, counted=self._uncounted >= self._room)
        self._uncounted += not aside.counted
        self._aside.setdefault(key, deque()).append(aside)
        return aside

    def leave(self, key: bytes) -> list[Aside[T]]:
        """One of the key's has left the line: who gets in now, in order."""
        self._in_line[key] -= 1
        left = self._in_line[key]
        waiting = self._aside.get(key)
        if waiting is None:
            if not left:
                del self._in_line[key]
            return []
        if left > self._share // 2:
            return []
        entering = [waiting.popleft() for _ in range(min(len(waiting), self._share - left))]
        self._in_line[key] += len(entering)
        self._forget(entering)
        if not waiting:
            del self._aside[key]
        return entering

    def drop(self, unwanted: Callable[[T], bool]) -> list[Aside[T]]:
        """Take out and return what waits aside and is unwanted."""
        dropped: list[Aside[T]] = []
        for key, waiting in list(self._aside.items()):
            gone = [aside for aside in waiting if unwanted(aside.item)]
            if not gone:
                continue
            dropped += gone
            kept = deque(aside for aside in waiting if not unwanted(aside.item))
            if kept:
                self._aside[key] = kept
            else:
                del self._aside[key]
        self._forget(dropped)
        return dropped

    def _forget(self, gone: list[Aside[T]]) -> None:
        self._uncounted -= sum(not aside.counted for aside in gone)
