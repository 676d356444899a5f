"""What a router has stored lately, kept in its own memory too: a Redis that was emptied does not know it any more."""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

RECENT = 20_000
"""Values that are remembered, about 0.5 KB each: a producer that repeats an event mostly does so within seconds."""


class _Value(NamedTuple):
    raw: bytes
    until: float


class Recent:
    """The last values put, by their key, each for as long as Redis would have kept it. `clock` in seconds."""

    def __init__(self, clock: Callable[[], float], limit: int = RECENT) -> None:
        self._clock = clock
        self._limit = limit
        self._values: OrderedDict[str, _Value] = OrderedDict()

    def put(self, key: str, raw: bytes, ttl_ms: int) -> None:
        """Remember it; the oldest is forgotten for it."""
        self._values[key] = _Value(raw, self._clock() + ttl_ms / 1000)
        self._values.move_to_end(key)
        if len(self._values) > self._limit:
            self._values.popitem(last=False)

    def either(self, key: str, stored: bytes | None) -> bytes | None:
        """What Redis holds; where that is nothing, what was put last."""
        if stored is not None:
            return stored
        value = self._values.get(key)
        return value.raw if value is not None and value.until > self._clock() else None
