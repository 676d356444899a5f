from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.testing.behaviour import Behaviour, Fault, Script
from pipeline.testing.received import Received


def test_the_same_seed_gives_the_same_faults() -> None:
    behaviour = Behaviour(faults={Fault.UNAVAILABLE: 0.3, Fault.THROTTLED: 0.2})
    runs = [[script.fault() for _ in range(200)] for script in (Script(behaviour, 5), Script(behaviour, 5))]
    assert runs[0] == runs[1]


def test_faults_come_at_their_shares() -> None:
    script = Script(Behaviour(faults={Fault.UNAVAILABLE: 0.3, Fault.THROTTLED: 0.2}), seed=1)
    drawn = Counter(script.fault() for _ in range(10_000))
    assert drawn[Fault.UNAVAILABLE] == pytest.approx(3000, abs=200)
    assert drawn[Fault.THROTTLED] == pytest.approx(2000, abs=200)


def test_scripted_faults_come_first_and_in_order() -> None:
    script = Script(Behaviour(faults={Fault.UNAVAILABLE: 1.0}))
    script.then(Fault.NO_ANSWER, None)
    assert [script.fault() for _ in range(3)] == [Fault.NO_ANSWER, None, Fault.UNAVAILABLE]


@given(st.sampled_from(["fixed", "uniform", "exponential"]), st.integers(0, 2**32))
def test_delays_have_the_mean_that_was_asked_for(distribution: str, seed: int) -> None:
    behaviour = Behaviour(delay_ms=20)
    match distribution:
        case "uniform":
            behaviour = Behaviour(delay_ms=20, delay="uniform")
        case "exponential":
            behaviour = Behaviour(delay_ms=20, delay="exponential")
    script = Script(behaviour, seed)
    delays = [script.delay() for _ in range(2000)]
    assert min(delays) >= 0
    assert sum(delays) / len(delays) == pytest.approx(0.02, rel=0.2)


def test_a_second_device_is_no_duplicate_and_a_second_acceptance_is() -> None:
    received = Received()
    for recipient in ("token-1", "token-2", "token-1"):
        received.accept("n1", recipient)
    assert (received.accepted, received.duplicates) == (3, 1)
    assert received.by_notification() == {"n1": 3}


def test_memory_is_bounded_and_the_totals_stay_right() -> None:
    received = Received(limit=10)
    for number in range(25):
        received.accept(f"n{number}", "token")
    assert received.accepted == 25
    assert list(received.by_notification()) == [f"n{number}" for number in range(15, 25)]
