from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.routing.quiet_hours import find_zone, is_quiet, quiet_until

H = 3600
MINUTE = timedelta(minutes=1)

# Zones whose clocks do unusual things, each with an instant (UTC) at which they do.
CHANGES = [
    ("Europe/Berlin", datetime(2025, 3, 30, 1, tzinfo=UTC)),  # 02:00 → 03:00
    ("Europe/Berlin", datetime(2025, 10, 26, 1, tzinfo=UTC)),  # 03:00 → 02:00
    ("America/New_York", datetime(2025, 3, 9, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2025, 11, 2, 6, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC)),  # midnight itself was skipped
    ("Australia/Lord_Howe", datetime(2025, 10, 4, 15, 30, tzinfo=UTC)),  # by half an hour
    ("Australia/Lord_Howe", datetime(2025, 4, 5, 15, tzinfo=UTC)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),  # a whole day was skipped
    ("Asia/Pyongyang", datetime(2018, 5, 4, 15, tzinfo=UTC)),
    ("Africa/Casablanca", datetime(2025, 2, 23, 2, tzinfo=UTC)),  # Ramadan
    ("Antarctica/Troll", datetime(2025, 3, 30, 1, tzinfo=UTC)),  # by two hours
]
ZONES = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("posix", "right")))


def ms(instant: datetime) -> int:
    return int(instant.timestamp()) * 1000


def clock(seconds: int) -> time:
    return time(seconds // H, seconds // 60 % 60, seconds % 60)


def reads_quiet(instant: datetime, start: int, end: int, zone: ZoneInfo) -> bool:
    """The definition, said with wall-clock times."""
    wall = instant.astimezone(zone).time()
    if start < end:
        return clock(start) <= wall < clock(end)
    return start != end and (wall >= clock(start) or wall < clock(end))


def near(change: tuple[str, datetime], minutes: int) -> tuple[str, datetime]:
    return change[0], change[1] + minutes * MINUTE


around_a_change = st.builds(near, st.sampled_from(CHANGES), st.integers(-26 * 60, 26 * 60))
SINCE_1975 = st.integers(5 * 365 * 24 * 60, 67 * 365 * 24 * 60)  # minutes; offsets are whole minutes since then
anywhere = st.tuples(st.sampled_from(ZONES), SINCE_1975.map(lambda minute: datetime.fromtimestamp(minute * 60, UTC)))
time_of_day = st.integers(0, 24 * 60 - 1).map(lambda minute: minute * 60)


@settings(max_examples=250, deadline=None)
@given(around_a_change | anywhere, time_of_day, time_of_day)
@example(("Pacific/Apia", datetime(2011, 12, 30, 8, tzinfo=UTC)), 22 * H, 21 * H)
@example(("Europe/Berlin", datetime(2025, 10, 26, 0, 30, tzinfo=UTC)), 2 * H, 3 * H)
def test_the_end_of_quiet_hours_is_what_stepping_over_the_wall_clock_finds(
    where: tuple[str, datetime], start: int, end: int
) -> None:
    zone, instant = ZoneInfo(where[0]), where[1]

    expected = instant
    while reads_quiet(expected, start, end, zone):
        expected += MINUTE

    found = quiet_until(ms(instant), start, end, zone)
    assert found == (None if expected == instant else ms(expected))
    assert is_quiet(ms(instant), start, end, zone) == (found is not None)


def test_the_window_starts_at_its_start_and_is_over_at_its_end() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    start = ms(datetime(2025, 6, 1, 22, tzinfo=berlin))
    end = ms(datetime(2025, 6, 2, 7, tzinfo=berlin))

    assert quiet_until(start - 1, 22 * H, 7 * H, berlin) is None
    assert quiet_until(start, 22 * H, 7 * H, berlin) == end
    assert quiet_until(end - 1, 22 * H, 7 * H, berlin) == end
    assert quiet_until(end, 22 * H, 7 * H, berlin) is None


def test_a_window_that_ends_in_the_skipped_hour_ends_when_the_clock_jumps() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    asleep = ms(datetime(2025, 3, 30, 0, 30, tzinfo=UTC))  # 01:30 on the wall

    assert quiet_until(asleep, 1 * H, 2 * H + 1800, berlin) == ms(datetime(2025, 3, 30, 1, tzinfo=UTC))


def test_an_hour_that_comes_twice_is_quiet_twice() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = ms(datetime(2025, 10, 26, 0, 30, tzinfo=UTC))  # 02:30 summer time
    between = ms(datetime(2025, 10, 26, 0, 50, tzinfo=UTC))
    second = ms(datetime(2025, 10, 26, 1, 30, tzinfo=UTC))  # 02:30 again

    for instant in (first, second):
        assert is_quiet(instant, 2 * H, 2 * H + 2700, berlin)
    assert quiet_until(first, 2 * H, 2 * H + 2700, berlin) == ms(datetime(2025, 10, 26, 0, 45, tzinfo=UTC))
    assert quiet_until(between, 2 * H, 2 * H + 2700, berlin) is None


@given(st.integers(0, 2_000_000_000_000), st.integers(0, 86_399), st.sampled_from(ZONES))
def test_a_window_that_ends_where_it_starts_is_none(instant: int, at: int, name: str) -> None:
    assert quiet_until(instant, at, at, ZoneInfo(name)) is None


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "", "../../etc/passwd", "America", "Europe/Berlin\0", "/etc/localtime"]
)
def test_a_name_that_is_no_zone_is_told_and_not_raised(name: str) -> None:
    assert find_zone(name) is None
