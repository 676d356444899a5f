"""Shares one event loop among the engines of a process: less urgent ones make room while more urgent ones have work.

A worker delivers four priorities on one loop, and every step of a notification waits for a turn of it. A turn takes as
long as all that is ready in it; so a backlog that keeps hundreds of sends ready makes each of the few urgent ones wait
hundreds of times, at every one of its steps. While urgent work is about, the loop's own delay says how many of the
others may be under way.
"""

import asyncio
from collections.abc import Callable

from pipeline.events.vocabulary import Priority

TICK = 0.02
"""Seconds between two looks at the loop's delay."""

BEARABLE = 0.001
"""Seconds of delay of a turn that urgent work may meet."""

LEAST = 2
"""Works of an engine that may be under way whatever the delay: nobody stops altogether."""

AT_FIRST = 8
"""Works under way when urgent work comes; from there it goes up or down."""

STEP, STEP_SHARE = 0.4, 0.02
"""What is added at each bearable look: so much, and this share of what there is."""

CUT = 0.7
"""What is left at each look that is not. (Chosen by ``python -m bench isolation``: with a larger step or a longer delay
critical's 99th percentile was two to three times its quiet one; with these, 1.15 times.)"""

BATCH = 10
"""Records that are taken in at once, at least, while more urgent work is about: hundreds would be a turn of their own."""

REMEMBERED = 10.0
"""Seconds after its last record for which an engine counts as having work."""

_RANK = {priority: rank for rank, priority in enumerate(Priority)}


class Allowance:
    """How many may be under way: a little more while the delay is bearable, much less when it is not. Pure."""

    def __init__(self, full: int) -> None:
        self._full = full
        self._value = float(min(AT_FIRST, full))

    @property
    def value(self) -> int:
        return int(self._value)

    def adjust(self, delay: float) -> None:
        """`delay` in seconds."""
        if delay > BEARABLE:
            self._value = max(float(min(LEAST, self._full)), self._value * CUT)
        else:
            self._value = min(float(self._full), self._value + STEP + self._value * STEP_SHARE)


class Share:
    """One engine's part of the loop: `full` works at once, unless others are more urgent. `grow` is called when it may
    start more.
    """

    def __init__(self, fairness: "Fairness", rank: int, full: int, batch: int, grow: Callable[[], None]) -> None:
        self._fairness = fairness
        self._full = full
        self._batch = batch
        self.rank = rank
        self.grow = grow
        self.worked_at = float("-inf")
        self.allowance: Allowance | None = None

    def works(self) -> None:
        """It has got something to do."""
        self._fairness.note(self)

    def limit(self) -> int:
        """Works that may be under way."""
        return self._full if self.allowance is None else self.allowance.value

    def batch(self) -> int:
        """Records that may be taken in at once."""
        return self._batch if self.allowance is None else min(self._batch, max(BATCH, self.allowance.value))

    async def breathe(self, ready: Callable[[], int]) -> None:
        """Between two batches: let more urgent work have the loop, until less than it may start is `ready`."""
        while self.allowance is not None:
            await asyncio.sleep(TICK)
            if ready() < self.limit():
                return

    def restrict(self, restricted: bool) -> None:
        if not restricted:
            self.allowance = None
        elif self.allowance is None:
            self.allowance = Allowance(self._full)


class Fairness:
    """One a process, used in its event loop."""

    def __init__(self) -> None:
        self._shares: list[Share] = []
        self._timer: asyncio.TimerHandle | None = None

    def join(self, priority: Priority, full: int, batch: int, grow: Callable[[], None]) -> Share:
        """A new engine's share; it has to `leave`."""
        share = Share(self, _RANK[priority], full, batch, grow)
        self._shares.append(share)
        return share

    def leave(self, share: Share) -> None:
        self._shares.remove(share)
        if not self._shares and self._timer:
            self._timer.cancel()
            self._timer = None

    def note(self, share: Share) -> None:
        """It has got something to do: those that are less urgent make room, at once."""
        share.worked_at = asyncio.get_running_loop().time()
        if self._timer is None and any(other.rank > share.rank for other in self._shares):
            self._tick(share.worked_at)

    def _tick(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        busy = [share.rank for share in self._shares if now - share.worked_at < REMEMBERED]
        most_urgent = min(busy, default=None)
        for share in self._shares:
            share.restrict(most_urgent is not None and share.rank > most_urgent)
            if share.allowance:
                share.allowance.adjust(now - due)
            share.grow()
        self._timer = None if most_urgent is None else loop.call_later(TICK, self._tick, now + TICK)
