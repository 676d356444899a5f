"""How a simulator behaves: delays and faults, drawn from a seed or scripted one by one."""

import random
from collections import deque
from enum import StrEnum
from typing import Literal

import msgspec


class Fault(StrEnum):
    """What can go wrong with a request. Each simulator says it in its provider's own words."""

    INVALID_RECIPIENT = "invalid_recipient"
    REJECTED = "rejected"
    CONFIGURATION = "configuration"
    THROTTLED = "throttled"
    UNAVAILABLE = "unavailable"
    RESET_BEFORE = "reset_before"
    """The connection is reset; the request was not accepted."""
    RESET_AFTER = "reset_after"
    """The connection is reset after the request was accepted."""
    NO_ANSWER = "no_answer"
    """Accepted, and then nothing is ever said."""
    LATE = "late"
    """Accepted, and the answer comes after `Behaviour.late_after`: perhaps when nobody waits for it any more."""


class Behaviour(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`delay_ms` is the mean of the `delay` distribution; `faults` are shares (0 to 1) of all requests.

    `retry_after` is in seconds and goes with `Fault.THROTTLED`, `late_after` in seconds with `Fault.LATE`.
    """

    delay_ms: float = 0.0
    delay: Literal["fixed", "uniform", "exponential"] = "fixed"
    faults: dict[Fault, float] = {}
    retry_after: int = 1
    late_after: float = 15.0


class Script:
    """Draws what happens to each request. The same seed and order of requests give the same faults."""

    def __init__(self, behaviour: Behaviour | None = None, seed: int = 0) -> None:
        self.behaviour = behaviour or Behaviour()
        self._random = random.Random(seed)
        self._next: deque[Fault | None] = deque()

    def then(self, *faults: Fault | None) -> None:
        """The next requests meet these, in order (None: no fault); after that, `behaviour` draws again."""
        self._next.extend(faults)

    def fault(self) -> Fault | None:
        """What the next request meets."""
        if self._next:
            return self._next.popleft()
        if not self.behaviour.faults:
            return None
        draw = self._random.random()
        for fault, share in self.behaviour.faults.items():
            if draw < share:
                return fault
            draw -= share
        return None

    def delay(self) -> float:
        """Seconds to wait before the next answer."""
        mean = self.behaviour.delay_ms / 1000
        match self.behaviour.delay:
            case "fixed":
                return mean
            case "uniform":
                return self._random.uniform(0, 2 * mean)
            case "exponential":
                return self._random.expovariate(1 / mean) if mean else 0.0
