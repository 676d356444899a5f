"""An event loop whose time is a number: it jumps to the next timer where nothing is left to do. No I/O, no waiting."""

import asyncio
import selectors


class Stuck(AssertionError):
    """Nobody waits for a time, and nothing else will ever happen."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Deterministic as long as what runs on it draws from a seeded generator only."""

    def __init__(self) -> None:
        self._seconds = 0.0
        super().__init__(_NeverWaits(self))

    def time(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        self._seconds += seconds


class _NeverWaits(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise Stuck
        if not ready and timeout:
            self._loop.advance(timeout)
        return ready
