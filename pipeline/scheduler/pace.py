"""How much of what is due may go now: a token bucket, kept as the time until which the pace is used up. Pure."""

import math
from typing import NamedTuple

SECOND = 1_000_000
BURST = SECOND // 2
"""Microseconds of unused pace that are kept: a look that comes late makes up for itself and no more."""


class Grant(NamedTuple):
    """So many may go; after that the pace is used up until `used_until` (µs)."""

    allowed: int
    used_until: int


def grant(used_until: int, now: int, rate: float, wanted: int) -> Grant:
    """What of `wanted` may go at `now` (µs) at `rate` a second (0: no limit).

    In any span of s seconds at most rate × (s + 0.5) go; below four a second rate × s and two. A clock that was put
    back, or another's that is ahead, holds up nothing: the pace is never used up beyond now.
    """
    if rate <= 0:
        return Grant(wanted, now)
    burst = max(BURST, math.ceil(2 * SECOND / rate))
    start = min(max(used_until, now - burst), now)
    count = max(0, min(wanted, int((now - start) * rate / SECOND)))
    return Grant(count, min(now, start + math.ceil(count * SECOND / rate)))
