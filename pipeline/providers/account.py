"""One account at a provider, as its channel's chain sees it: may it be called, and what did its answer say about it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pipeline.observability.metrics import Metrics
from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.providers.breaker import Breaker, Cause, Circuit
from pipeline.providers.limits import Limit
from pipeline.providers.slots import Slots
from pipeline.users.snapshot import Device

logger = logging.getLogger(__name__)

S = TypeVar("S")

Reaches = Callable[[Device], bool]

_IN_WORDS = {Cause.FAILURES: "it fails", Cause.CONFIGURATION: "it refuses us", Cause.THROTTLED: "it throttles"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Account(Generic[S]):
    """`sender` speaks to it. `on_change` is called after each change of its circuit.

    `streams`, `categories`: what it serves; empty: all. `reaches`: which devices; None: all. `limit`: its rate.
    `slots`: its places, where it takes only so many calls at once.
    """

    name: str
    sender: S
    breaker: Breaker
    metrics: Metrics
    clock: Callable[[], float]
    weight: int = 0
    streams: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    reaches: Reaches | None = None
    limit: Limit | None = None
    slots: Slots | None = None
    on_change: list[Callable[["Account[S]"], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics.circuit_state.labels(self.name).set(Circuit.CLOSED)

    def serves(self, stream: str, category: str) -> bool:
        return (not self.streams or stream in self.streams) and (not self.categories or category in self.categories)

    def wait(self) -> float:
        """Seconds until somebody may `enter`; 0: now."""
        return 0.0 if self.breaker.state is Circuit.CLOSED else self.breaker.wait(self.clock())

    def enter(self, key: str) -> bool:
        """Whether the notification `key` may be sent now. If so, it has to `leave`."""
        before = self.breaker.state
        if before is Circuit.CLOSED:
            return True
        entered = self.breaker.enter(key, self.clock())
        self._tell(before)
        return entered

    def leave(self, key: str) -> None:
        self.breaker.leave(key)

    def heed(self, key: str, result: SendResult) -> None:
        """Draw the conclusions of an answer."""
        before, now = self.breaker.state, self.clock()
        if result.outcome is Outcome.ACCEPTED:
            self.breaker.alive(key, now)
            self._tell(before)
            return
        match result.outcome:
            case Outcome.INVALID_RECIPIENT | Outcome.PERMANENT:
                self.breaker.alive(key, now)
            case _ if result.scope is Scope.MESSAGE:
                self.breaker.alive(key, now)
            case Outcome.THROTTLED if result.retry_after is not None:
                self.breaker.pause(key, now, result.retry_after)
            case outcome:
                self.breaker.failed(key, now, _cause(outcome), account=result.scope is Scope.ACCOUNT)
        self.metrics.provider_errors.labels(self.name, result.outcome.name.lower()).inc()
        self._tell(before, result.error)

    def _tell(self, before: Circuit, error: str = "") -> None:
        state = self.breaker.state
        if state is before:
            return
        self.metrics.circuit_state.labels(self.name).set(state)
        if before is Circuit.CLOSED:
            seconds, why = self.breaker.wait(self.clock()), _IN_WORDS[self.breaker.cause]
            logger.warning("paused %s, %s (%s); tried again in %.1f s", self.name, why, error, seconds)
        elif state is Circuit.CLOSED:
            logger.info("%s is back", self.name)
        for notice in self.on_change:
            notice(self)


def _cause(outcome: Outcome) -> Cause:
    if outcome is Outcome.CONFIGURATION:
        return Cause.CONFIGURATION
    return Cause.THROTTLED if outcome is Outcome.THROTTLED else Cause.FAILURES
