"""How long to wait before the next try. Pure: randomness is passed in."""

FIRST = 0.2
"""Seconds; doubles with each try, half of it at random, so that callers do not come back together."""
LONGEST = 10.0

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may be accepted: the gateway's, and those of proxies before it."""


def pause(tries: int, retry_after: float | None, chance: float) -> float:
    """Seconds to wait after so many tries that failed, at least what the server asked. `chance` is within [0, 1)."""
    backoff: float = min(LONGEST, FIRST * 2 ** min(tries - 1, 16))
    spread = backoff * (0.5 + chance / 2)
    return spread if retry_after is None else retry_after + spread / 2


def seconds(header: str | None) -> float | None:
    """A ``Retry-After`` in seconds; the form with a date, and nonsense, count as none."""
    return float(header) if header and header.isascii() and header.isdigit() and len(header) < 7 else None
