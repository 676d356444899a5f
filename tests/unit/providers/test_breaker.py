from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.providers.breaker import JITTER, LOOK_AGAIN, Breaker, BreakerPolicy, Cause, Circuit

POLICY = BreakerPolicy(failures=5, window=20, share=0.8, open_for=1.0, open_cap=30.0, close_after=2, random=lambda: 0.0)


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(POLICY)
    for number in range(POLICY.failures):
        breaker.failed(f"n{number}", at)
    assert breaker.state is Circuit.OPEN
    return breaker


def probe(breaker: Breaker, key: str, now: float, answer: Callable[[str, float], None]) -> None:
    assert breaker.enter(key, now)
    answer(key, now)
    breaker.leave(key)


def test_failures_in_a_row_of_several_notifications_open_it() -> None:
    breaker = Breaker(POLICY)
    for number in range(POLICY.failures - 1):
        breaker.failed(f"n{number}", 0)
    assert breaker.state is Circuit.CLOSED
    breaker.failed("n9", 0)
    assert (breaker.state, breaker.cause, breaker.wait(0)) == (Circuit.OPEN, Cause.FAILURES, POLICY.open_for)
    assert not breaker.enter("n", 0.9)


@given(failures=st.integers(1, 200))
def test_one_poisonous_notification_alone_never_opens_it(failures: int) -> None:
    breaker = Breaker(POLICY)
    for _ in range(failures):
        breaker.failed("poison", 0)
    assert breaker.state is Circuit.CLOSED


@given(st.lists(st.sampled_from(["poison", "well"]), max_size=300))
def test_one_poisonous_notification_among_others_that_go_well_never_opens_it(calls: list[str]) -> None:
    breaker = Breaker(POLICY)
    for number, call in enumerate(calls):
        if call == "poison":
            breaker.failed("poison", 0)
        else:
            breaker.alive(f"n{number}", 0)
    assert breaker.state is Circuit.CLOSED


def test_a_server_that_nobody_reaches_needs_no_second_notification() -> None:
    breaker = Breaker(POLICY)
    for _ in range(POLICY.failures):
        breaker.failed("the only one", 0, account=True)
    assert breaker.state is Circuit.OPEN


def test_refused_credentials_open_it_at_once() -> None:
    breaker = Breaker(POLICY)
    breaker.failed("n", 0, Cause.CONFIGURATION, account=True)
    assert (breaker.state, breaker.cause) == (Circuit.OPEN, Cause.CONFIGURATION)


def test_most_calls_failing_opens_it_even_if_some_go_well_in_between() -> None:
    breaker = Breaker(POLICY)
    for number in range(100):
        breaker.alive(f"n{number}", 0) if number % 5 == 4 else breaker.failed(f"n{number}", 0)
        if breaker.state is not Circuit.CLOSED:
            break
    assert breaker.state is Circuit.OPEN


def test_half_of_the_calls_failing_is_no_reason_to_stop_the_other_half() -> None:
    breaker = Breaker(POLICY)
    for number in range(200):
        breaker.alive(f"n{number}", 0) if number % 2 else breaker.failed(f"n{number}", 0)
    assert breaker.state is Circuit.CLOSED


def test_probes_go_out_one_at_a_time_and_close_it() -> None:
    breaker = opened()
    assert breaker.enter("first", 1.0)
    assert breaker.state is Circuit.HALF_OPEN
    assert not breaker.enter("second", 1.0)
    assert breaker.wait(1.0) == LOOK_AGAIN
    breaker.alive("first", 1.1)
    breaker.leave("first")
    probe(breaker, "second", 1.2, breaker.alive)
    assert breaker.wait(1.2) == 0
    assert breaker.enter("third", 1.2)
    assert breaker.enter("fourth", 1.2), "closed: as many as come"


def test_each_probe_that_fails_doubles_the_wait_up_to_the_cap() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(8):
        waits.append(breaker.wait(now))
        now += waits[-1]
        probe(breaker, "p", now, breaker.failed)
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_the_wait_stays_long_for_a_provider_that_falls_over_again_and_is_short_after_it_was_well() -> None:
    breaker = opened()
    for key in ("a", "b"):
        probe(breaker, key, 1.0, breaker.alive)
    for number in range(POLICY.failures):
        breaker.failed(f"n{number}", 2.0)
    assert breaker.wait(2.0) == 2.0
    for key in ("a", "b"):
        probe(breaker, key, 4.0, breaker.alive)
    for number in range(POLICY.failures):
        breaker.alive(f"n{number}", 5.0)
    for number in range(POLICY.failures):
        breaker.failed(f"n{number}", 6.0)
    assert breaker.wait(6.0) == 1.0


def test_a_probe_that_leaves_without_a_word_makes_room_for_the_next() -> None:
    breaker = opened()
    assert breaker.enter("first", 1.0)
    breaker.leave("first")
    assert breaker.enter("second", 1.0)


def test_what_was_called_before_it_opened_neither_prolongs_the_wait_nor_closes_it() -> None:
    breaker = opened()
    breaker.failed("late", 0.9)
    assert breaker.wait(1.0) == 0
    breaker = opened()
    breaker.alive("late", 0.2)
    assert breaker.state is Circuit.OPEN
    assert breaker.enter("probe", 0.2), "but good news is worth a probe"


@pytest.mark.parametrize("seconds", [0.02, 5.0, 3600.0])
def test_a_pause_lasts_as_long_as_the_provider_asked(seconds: float) -> None:
    breaker = Breaker(POLICY)
    breaker.pause("n", 10.0, seconds)
    assert breaker.cause is Cause.THROTTLED
    assert breaker.wait(10.0) == pytest.approx(seconds)
    breaker.pause("other", 10.0, seconds / 2)
    assert breaker.wait(10.0) == pytest.approx(seconds), "a shorter one does not shorten it"
    breaker.alive("late", 10.0)
    assert breaker.wait(10.0) == pytest.approx(seconds), "nor does the answer to an earlier call"


def test_the_jitter_only_lengthens_the_wait() -> None:
    breaker = Breaker(
        BreakerPolicy(failures=1, window=9, share=1, open_for=1, open_cap=30, close_after=1, random=lambda: 0.999)
    )
    breaker.failed("a", 0, account=True)
    assert 1 < breaker.wait(0) < 1 + JITTER


class BreakerMachine(RuleBasedStateMachine):
    """Many notifications at once, in any order, on a clock that only goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(POLICY)
        self.now = 0.0
        self.serial = 0
        self.out: dict[str, Circuit] = {}
        """Who is calling, and the state in which they were let in."""

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 40.0]))
    def passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def enters(self) -> None:
        self.serial += 1
        key = f"n{self.serial}"
        free = self.breaker.wait(self.now) == 0
        assert self.breaker.enter(key, self.now) is free, "`wait` says who may enter"
        if free:
            self.out[key] = self.breaker.state

    @precondition(lambda self: self.out)
    @rule(data=st.data(), how=st.sampled_from(["alive", "failed", "account", "401", "pause", "nothing"]))
    def answers(self, data: st.DataObject, how: str) -> None:
        key = data.draw(st.sampled_from(sorted(self.out)))
        breaker, before = self.breaker, self.breaker.state
        was_probe = breaker._probe == key
        match how:
            case "alive":
                breaker.alive(key, self.now)
            case "failed":
                breaker.failed(key, self.now)
            case "account":
                breaker.failed(key, self.now, account=True)
            case "401":
                breaker.failed(key, self.now, Cause.CONFIGURATION, account=True)
            case "pause":
                breaker.pause(key, self.now, 3.0)
        breaker.leave(key)
        del self.out[key]
        if breaker.state is Circuit.CLOSED and before is not Circuit.CLOSED:
            assert was_probe, "only a probe closes it"
            assert how == "alive"
        if how in {"failed", "account", "401", "pause"} and was_probe:
            assert breaker.state is Circuit.OPEN

    @invariant()
    def one_probe_at_most(self) -> None:
        probes = [key for key in self.out if key == self.breaker._probe]
        assert len(probes) <= 1
        if self.breaker.state is not Circuit.HALF_OPEN:
            assert not probes

    @invariant()
    def it_is_never_shut_for_good(self) -> None:
        assert 0 <= self.breaker.wait(self.now) <= max(POLICY.open_cap, LOOK_AGAIN)


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=100, deadline=None)
