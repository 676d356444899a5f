"""A pace is kept whoever asks, however often, and whatever the clocks do."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.scheduler.pace import BURST, SECOND, grant

rates = st.sampled_from([0.2, 0.9, 1.0, 7.5, 100.0, 1_000.0])
steps = st.lists(st.tuples(st.integers(0, 3 * SECOND), st.integers(0, 2_000)), min_size=1, max_size=60)


@settings(deadline=None)
@given(rates, steps)
def test_in_no_span_of_time_more_goes_than_the_pace_and_one_burst(rate: float, steps: list[tuple[int, int]]) -> None:
    now, used, went = 10**15, 0, list[tuple[int, int]]()
    for wait, wanted in steps:
        now += wait
        given_ = grant(used, now, rate, wanted)
        used = given_.used_until
        went.append((now, given_.allowed))
    burst = max(BURST / SECOND, 2 / rate)
    for i, (began, _) in enumerate(went):
        for j in range(i, len(went)):
            seconds = (went[j][0] - began) / SECOND
            assert sum(count for _, count in went[i : j + 1]) <= rate * (seconds + burst) + 1e-3 * (j - i + 2)


@settings(deadline=None)
@given(rates, st.integers(1, 500))
def test_whoever_keeps_asking_gets_all_of_it_in_time(rate: float, wanted: int) -> None:
    now, used, left = 10**15, 10**15, wanted
    step = BURST // 2
    for _ in range(int(wanted / rate * SECOND / step * 1.001) + 10):
        now += step
        allowed, used = grant(used, now, rate, left)
        left -= allowed
    assert left == 0


@settings(deadline=None)
@given(rates, st.integers(0, 10**16), st.integers(1, 100))
def test_a_pace_used_up_by_a_clock_that_is_ahead_is_free_again_after_a_burst(
    rate: float, ahead: int, wanted: int
) -> None:
    now = 10**15
    _, used = grant(now + ahead, now, rate, wanted)
    assert grant(used, now + max(BURST, round(2 * SECOND / rate)) + 2, rate, wanted).allowed > 0


def test_no_rate_is_no_limit() -> None:
    assert grant(0, 5, 0, 7).allowed == 7
