import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.observability.clock_checks import FAIL_SECONDS, WARN_SECONDS, Reading, skew_finding
from pipeline.observability.finding import Level

SECONDS = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("ahead", "level"),
    [(0, Level.OK), (0.9, Level.OK), (-2, Level.WARN), (2, Level.WARN), (11, Level.FAIL), (-11, Level.FAIL)],
)
def test_a_clock_is_judged_by_how_far_it_is_from_ours(ahead: float, level: Level) -> None:
    finding = skew_finding("redis", Reading(1_000 + ahead, 1_000, 1_000))
    assert finding.level is level
    assert (level is Level.OK) or "NTP" in finding.remedy


def test_it_says_in_which_direction() -> None:
    assert "5.0 s ahead of ours" in skew_finding("redis", Reading(1_005, 1_000, 1_000)).detail
    assert "5.0 s behind ours" in skew_finding("redis", Reading(995, 1_000, 1_000)).detail


@given(server=SECONDS, before=SECONDS, took=st.floats(0, 60))
def test_a_slow_answer_never_makes_a_clock_look_wrong(server: float, before: float, took: float) -> None:
    reading = Reading(server, before, before + took)
    inside = before <= server <= before + took
    assert (reading.skew == 0) == inside
    assert WARN_SECONDS < FAIL_SECONDS
