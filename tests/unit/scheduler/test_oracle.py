"""Quiet hours and ``send_at`` against an oracle that shares nothing with the code: it steps over a table of the wall clock.

The table is made from the zone files themselves (RFC 9636), read by hand here: no `zoneinfo`, no `datetime`. The number of
random cases is `QUIET_HOURS_CASES` (5,000 unless set); 100,000 take some minutes.
"""

import os
import random
import struct
import zoneinfo
from bisect import bisect_right
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.routing.quiet_hours import find_zone, quiet_until
from pipeline.users.snapshot import PreferenceRow
from tests.unit.routing.test_decide import EMAIL, anna, ask, event, only

CASES = int(os.environ.get("QUIET_HOURS_CASES", "5000"))
DAY = 86_400
FIRST, LAST = 1_577_836_800, 2_082_758_400
"""2020 to 2035, in seconds: within what a file lists and what its rule adds."""


class Offsets(NamedTuple):
    """From each instant (s) on the wall clock is this far ahead of UTC (s)."""

    since: list[int]
    ahead: list[int]

    def wall(self, second: int) -> int:
        return (second + self.ahead[bisect_right(self.since, second) - 1]) % DAY


def zone_names() -> list[str]:
    return sorted(
        n for n in zoneinfo.available_timezones() if not n.startswith(("posix/", "right/")) and n != "localtime"
    )


def zone_file(name: str) -> bytes:
    for folder in zoneinfo.TZPATH:
        path = Path(folder) / name
        if path.is_file():
            return path.read_bytes()
    return files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


@cache
def offsets(name: str) -> Offsets:
    """The second block of a TZif file (64-bit times), then its footer's rule, year by year."""
    raw = zone_file(name)
    first = struct.unpack(">6l", raw[20:44])
    begin = 44 + first[3] * 5 + first[4] * 6 + first[5] + first[2] * 8 + first[1] + first[0]
    isut, isstd, leap, times, types, chars = struct.unpack(">6l", raw[begin + 20 : begin + 44])
    at = begin + 44
    instants = list(struct.unpack(f">{times}q", raw[at : at + 8 * times]))
    at += 8 * times
    kinds = list(raw[at : at + times])
    at += times
    ahead = [struct.unpack(">l", raw[at + 6 * i : at + 6 * i + 4])[0] for i in range(types)]
    at += 6 * types + chars + 12 * leap + isstd + isut
    rule = raw[at:].strip().decode()
    table = [(-(2**62), ahead[0]), *((i, ahead[k]) for i, k in zip(instants, kinds, strict=True))]
    table += [(i, a) for i, a in footer(rule) if i > (instants[-1] if instants else -(2**62))]
    return Offsets([i for i, _ in table], [a for _, a in table])


def footer(rule: str) -> list[tuple[int, int]]:
    """The transitions that a POSIX TZ rule gives from 2019 to 2036."""
    head, *changes = rule.split(",")
    std, dst = names_and_offsets(head)
    if len(changes) != 2 or dst is None:
        return [(days_from_civil(2019, 1, 1) * DAY, std)]
    found = []
    for year in range(2019, 2037):
        found.append((moment(year, changes[0]) - std, dst))
        found.append((moment(year, changes[1]) - dst, std))
    return sorted(found)


def names_and_offsets(head: str) -> tuple[int, int | None]:
    rest = skip_name(head)
    text, rest = number(rest)
    std = -seconds(text)
    if not rest:
        return std, None
    text, _ = number(skip_name(rest))
    return std, -seconds(text) if text else std + 3_600


def skip_name(text: str) -> str:
    if text.startswith("<"):
        return text[text.index(">") + 1 :]
    return text.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def number(text: str) -> tuple[str, str]:
    end = next((i for i, c in enumerate(text) if c not in "+-:0123456789"), len(text))
    return text[:end], text[end:]


def seconds(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    hours, minutes, secs, *_ = [*map(int, text.lstrip("+-").split(":")), 0, 0]
    return sign * (hours * 3_600 + minutes * 60 + secs)


def moment(year: int, change: str) -> int:
    """Seconds of the wall clock since 1970 at which a change like ``M3.5.0/2`` or ``J60/0`` falls in `year`."""
    date, _, at = change.partition("/")
    clock = seconds(at) if at else 7_200
    if date.startswith("M"):
        month, week, weekday = map(int, date[1:].split("."))
        first = days_from_civil(year, month, 1)
        day = first + (weekday - (first + 4) % 7) % 7 + 7 * (week - 1)
        following = days_from_civil(year + month // 12, month % 12 + 1, 1)
        return (day if day < following else day - 7) * DAY + clock
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    ordinal = int(date[1:]) - 1 + (leap and int(date[1:]) >= 60) if date.startswith("J") else int(date)
    return (days_from_civil(year, 1, 1) + ordinal) * DAY + clock


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 (Howard Hinnant's algorithm)."""
    year -= month <= 2
    era, of_era = year // 400, year % 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


def is_quiet(wall: int, start: int, end: int) -> bool:
    return start <= wall < end if start <= end else wall >= start or wall < end


def expected(second: int, start: int, end: int, table: Offsets) -> int:
    """The first instant from `second` on that is not quiet. Windows, offsets and changes are of whole minutes."""
    while is_quiet(table.wall(second), start, end):
        second += 60 - second % 60
    return second


def case(rng: random.Random, name: str) -> tuple[int, int, int]:
    """An instant and a window; every other one around a change of the zone's clock."""
    table = offsets(name)
    changes = [i for i in table.since if FIRST < i < LAST]
    second = rng.randrange(FIRST, LAST)
    if changes and rng.random() < 0.5:
        second = rng.choice(changes) + rng.randrange(-26 * 3_600, 26 * 3_600)
    start, end = (rng.randrange(24 * 60) * 60 for _ in range(2))
    return second, start, end


@pytest.mark.timeout(900)
def test_quiet_hours_end_when_an_independent_clock_says_in_every_zone() -> None:
    rng = random.Random(CASES)
    names = zone_names()
    assert len(names) > 400
    wrong = []
    for number in range(CASES):
        name = names[number % len(names)]
        second, start, end = case(rng, name)
        zone = find_zone(name)
        assert zone is not None
        found = quiet_until(second * 1000, start, end, zone)
        right = expected(second, start, end, offsets(name))
        if (second if found is None else found // 1000) != right:
            wrong.append((name, second, start, end, found, right))
    assert wrong == []


@pytest.mark.timeout(900)
def test_send_at_and_quiet_hours_together_are_decided_as_the_independent_clock_says() -> None:
    """Held until ``send_at``; released then, held until the quiet hours that hold by then are over; then sent."""
    rng = random.Random(CASES + 1)
    names = zone_names()
    for number in range(CASES // 10):
        name = names[number % len(names)]
        second, start, end = case(rng, name)
        at = second + rng.randrange(1, 3 * DAY)
        asked = event(channels=[EMAIL], created_at=second * 1000, send_at=at * 1000, expires_at=(at + 9 * DAY) * 1000)
        user = anna(timezone=name, preferences=[PreferenceRow("*", "*", None, start, end, None)])
        assert only(ask(asked, user, now=second * 1000)).until == at * 1000
        right = expected(at, start, end, offsets(name))
        assert only(ask(asked, user, now=at * 1000)).until == (None if right == at else right * 1000)
        assert only(ask(asked, user, now=right * 1000)).until is None
