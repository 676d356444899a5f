"""How long to wait before a try, and when to stop trying. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.config import DeliverySettings

THROTTLE_WAIT = 1.0
"""Seconds to wait where a provider throttles and does not say for how long."""

JITTER = 0.5
"""Up to so much of a backoff is added to it, so that what failed together does not come back together."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Times in seconds. `random` gives numbers in [0, 1)."""

    max_attempts: int
    base: float
    cap: float
    parking_limit: float
    random: Callable[[], float]

    @classmethod
    def of(cls, settings: DeliverySettings, random: Callable[[], float]) -> "RetryPolicy":
        return cls(settings.max_attempts, settings.backoff_base, settings.backoff_cap, settings.parking_limit, random)

    def exhausted(self, attempts: int) -> bool:
        return attempts >= self.max_attempts

    def backoff(self, attempts: int) -> float:
        """The wait after `attempts` tries (at least one): the base, doubled with each, capped, and jitter on top."""
        exponential = self.base * 2.0 ** min(attempts - 1, 60)
        return min(exponential, self.cap) * (1 + JITTER * self.random())
