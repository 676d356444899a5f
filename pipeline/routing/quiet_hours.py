"""Quiet hours: when the wall clock of a zone reads a time within a window. Pure. Instants are milliseconds.

A window is ``[start, end)`` in seconds since midnight; ``start > end`` crosses midnight, ``start == end`` is none.
Where the clock is put forward or back, the clock's reading counts: an hour that is skipped is never quiet, one that
is read twice is quiet twice.
"""

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY = 86_400
UTC = ZoneInfo("UTC")


@lru_cache(maxsize=2048)
def find_zone(name: str) -> ZoneInfo | None:
    """The zone of an IANA name; None: there is none of that name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def is_quiet(instant: int, start: int, end: int, zone: ZoneInfo) -> bool:
    """Whether the wall clock of `zone` reads a time within ``[start, end)`` at `instant`."""
    return _within(_wall(instant // 1000, zone), start, end)


def quiet_until(instant: int, start: int, end: int, zone: ZoneInfo) -> int | None:
    """The first instant from `instant` on that is not quiet; None: `instant` itself is not."""
    return _until(instant // 1000, start, end, zone)


@lru_cache(maxsize=4096)
def _until(second: int, start: int, end: int, zone: ZoneInfo) -> int | None:
    """Between two changes of the zone's offset the wall clock runs evenly, so only the window's end and each change
    on the way to it need a look. Cached: the events of a second share few windows and zones.
    """
    wall = _wall(second, zone)
    if not _within(wall, start, end):
        return None
    while _within(wall, start, end):
        second = _next_change(second, second + (end - wall) % DAY, zone)
        wall = _wall(second, zone)
    return second * 1000


def _wall(second: int, zone: ZoneInfo) -> int:
    clock = datetime.fromtimestamp(second, zone)
    return clock.hour * 3600 + clock.minute * 60 + clock.second


def _within(wall: int, start: int, end: int) -> bool:
    if start <= end:
        return start <= wall < end
    return wall >= start or wall < end


def _next_change(second: int, limit: int, zone: ZoneInfo) -> int:
    """The first second after `second` with another offset, or `limit` if there is none up to it.

    `limit` is at most a day away, and no zone ever changed its offset twice within three days (tzdata, since 1900),
    so that comparing the two ends suffices.
    """
    before = _offset(second, zone)
    if _offset(limit, zone) == before:
        return limit
    while limit - second > 1:
        middle = (second + limit) // 2
        if _offset(middle, zone) == before:
            second = middle
        else:
            limit = middle
    return limit


def _offset(second: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(second, zone).utcoffset()
    assert offset is not None, "a ZoneInfo always knows its offset"
    return offset.days * DAY + offset.seconds
