"""How long to wait before a try, and when to stop trying. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.config import DeliverySettings

THROTTLE_WAIT = 1.0
"""Seconds to wait where a provider throttles and does not say for how long."""

JITTER = 0.5
"""Up to so much of a backoff is added to it, so that what failed together does not come back together."""

MARGIN = 0.1
"""Share of a lease, at most a second, that is kept to write down what the provider said."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Times in seconds. `random` gives numbers in [0, 1)."""

    max_attempts: int
    base: float
    cap: float
    parking_limit: float
    random: Callable[[], float]
    lease: float = 30.0

    @classmethod
    def of(cls, settings: DeliverySettings, random: Callable[[], float]) -> "RetryPolicy":
        return cls(
            settings.max_attempts,
            settings.backoff_base,
            settings.backoff_cap,
            settings.parking_limit,
            random,
            settings.lease,
        )

    def exhausted(self, attempts: int) -> bool:
        return attempts >= self.max_attempts

    @property
    def time_to_send(self) -> float:
        """How long providers may take, one after the other, under one lease."""
        return self.lease - min(1.0, MARGIN * self.lease)

    def backoff(self, attempts: int) -> float:
        """The wait after `attempts` tries (at least one): the base, doubled with each, capped, and jitter on top."""
        exponential = self.base * 2.0 ** min(attempts - 1, 60)
        return min(exponential, self.cap) * (1 + JITTER * self.random())
