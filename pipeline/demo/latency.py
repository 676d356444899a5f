"""Percentiles of latencies, in milliseconds. Pure."""

from collections.abc import Sequence

import msgspec


class Percentiles(msgspec.Struct, frozen=True):
    """Of `count` values: median, 90th, 99th percentile and the largest."""

    count: int
    p50: float
    p90: float
    p99: float
    max: float


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """None when there are no values. Nearest-rank: every figure is a value that occurred."""
    if not values:
        return None
    ordered = sorted(values)
    last = len(ordered) - 1

    def at(share: float) -> float:
        return ordered[min(last, int(share * len(ordered)))]

    return Percentiles(count=len(ordered), p50=at(0.5), p90=at(0.9), p99=at(0.99), max=ordered[-1])
