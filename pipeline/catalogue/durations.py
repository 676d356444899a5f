"""Durations as people write them: a whole number and a unit."""

import re

_PATTERN = re.compile(r"([0-9]+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = 10 * 365 * 86_400


def seconds(text: str) -> int:
    """``"90s"``, ``"5m"``, ``"24h"``, ``"7d"`` in seconds.

    Raises:
        ValueError: it is not of this form, zero, or longer than ten years.
    """
    match = _PATTERN.fullmatch(text)
    if not match:
        raise ValueError("not a duration; write a whole number and a unit: 90s, 5m, 24h or 7d")
    value = int(match[1]) * _SECONDS[match[2]]
    if not 0 < value <= _LONGEST:
        raise ValueError("a duration must be longer than nothing and at most ten years")
    return value
