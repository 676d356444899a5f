"""The circuit breaker of one provider account: when it may be called, and by whom. Pure; times in seconds.

closed → open → half-open → closed. An open circuit lets nobody call until its time is up; then one *probe* at a time
goes out, and its answer closes the circuit or opens it again, for longer. A provider that asks for a pause gets one
the same way, but for exactly as long as it asked.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum, auto

from pipeline.config import BreakerSettings

LOOK_AGAIN = 1.0
"""Seconds after which to ask again while somebody else's probe is under way."""

JITTER = 0.2
"""Up to so much of its time an open circuit lasts longer, so that many workers do not probe at once."""


class Circuit(IntEnum):
    """The state; its number is the value of ``notifications_circuit_state``."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Cause(Enum):
    """Why it is open."""

    FAILURES = auto()
    CONFIGURATION = auto()
    THROTTLED = auto()


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """See `pipeline.config.BreakerSettings`. `random` gives numbers in [0, 1)."""

    failures: int
    window: int
    share: float
    open_for: float
    open_cap: float
    close_after: int
    random: Callable[[], float]

    @classmethod
    def of(cls, settings: BreakerSettings, random: Callable[[], float]) -> "BreakerPolicy":
        return cls(
            settings.failures,
            settings.window,
            settings.share,
            settings.open_for,
            settings.open_cap,
            settings.close_after,
            random,
        )


class Breaker:
    """Whoever calls the provider: `enter`, call, tell what came of it (`alive`, `failed`, `pause`), `leave`.

    `key` names the notification. Failures of one notification alone never open the circuit, however often it is
    tried, unless they are the account's: what is poisonous for one must not stop the others.
    """

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self.state = Circuit.CLOSED
        self.cause = Cause.FAILURES
        self._until = 0.0
        self._openings = 0
        self._probe: str | None = None
        self._probes_alive = 0
        self._consecutive = 0
        self._suspect: str | None = None
        self._corroborated = False
        self._recent: deque[bool] = deque(maxlen=policy.window)

    def wait(self, now: float) -> float:
        """Seconds until somebody may `enter`; 0: now."""
        if self.state is Circuit.CLOSED:
            return 0.0
        if self._probe is not None:
            return LOOK_AGAIN
        return max(0.0, self._until - now)

    def enter(self, key: str, now: float) -> bool:
        """Whether `key` may call now. In a circuit that is not closed it is the probe from then on, until it leaves."""
        if self.state is Circuit.CLOSED:
            return True
        if self.wait(now) > 0:
            return False
        self.state = Circuit.HALF_OPEN
        self._probe = key
        return True

    def leave(self, key: str) -> None:
        """`key` calls no more. A probe that leaves without a word makes room for the next."""
        if self._probe == key:
            self._probe = None

    def alive(self, key: str, now: float) -> None:
        """The provider took the message, or refused that one only."""
        self._consecutive = 0
        self._suspect = None
        self._corroborated = False
        self._recent.append(True)
        if self.state is Circuit.CLOSED:
            if self._openings and self._sound():
                self._openings = 0
        elif self._probe == key:
            self._probe = None
            self._probes_alive += 1
            if self._probes_alive >= self._policy.close_after:
                self._close()
        elif self.cause is Cause.FAILURES:
            self._until = min(self._until, now)  # it was called before the circuit opened; its answer is good news

    def failed(self, key: str, now: float, cause: Cause = Cause.FAILURES, *, account: bool = False) -> None:
        """It failed. `account`: and so would any other message."""
        if self.state is not Circuit.CLOSED:
            if self._probe == key:
                self._open(now, cause, self._next_delay())
            return
        repeated = key == self._suspect
        self._consecutive += 1
        self._corroborated = self._corroborated or account or self._suspect not in (None, key)
        self._suspect = key
        if account or not repeated:
            self._recent.append(False)
        if (account and cause is Cause.CONFIGURATION) or self._enough():
            self._open(now, cause, self._next_delay())

    def pause(self, key: str, now: float, seconds: float) -> None:
        """The provider asked for `seconds` without a call. Where several ask, the longest counts."""
        if self.state is Circuit.OPEN and self._probe != key and self._until >= now + seconds:
            return
        self._open(now, Cause.THROTTLED, seconds)

    def _enough(self) -> bool:
        if not self._corroborated:
            return False
        if self._consecutive >= self._policy.failures:
            return True
        full = len(self._recent) == self._policy.window
        return full and self._recent.count(False) >= self._policy.share * self._policy.window

    def _sound(self) -> bool:
        """So many calls have gone well since it closed that the past is over."""
        recent = list(self._recent)[-self._policy.failures :]
        return len(recent) == self._policy.failures and all(recent)

    def _next_delay(self) -> float:
        self._openings += 1
        delay = min(self._policy.open_for * 2.0 ** min(self._openings - 1, 30), self._policy.open_cap)
        return delay * (1 + JITTER * self._policy.random())

    def _open(self, now: float, cause: Cause, seconds: float) -> None:
        self.state = Circuit.OPEN
        self.cause = cause
        self._until = now + seconds
        self._probe = None
        self._probes_alive = 0

    def _close(self) -> None:
        self.state = Circuit.CLOSED
        self._consecutive = 0
        self._suspect = None
        self._corroborated = False
        self._recent.clear()
