"""Which broker is taken, and what it says about those that are not."""

import pytest

from pipeline.embedded.broker import ADDRESS, FORCED, BrokerKind, Candidate, Candidates, choose, open_broker
from pipeline.embedded.processes import Supervisor
from pipeline.embedded.servers import Restartable
from pipeline.errors import ConfigurationError, Unavailable

ORDER = (BrokerKind.DOCKER, BrokerKind.JVM, BrokerKind.WHEEL)


class Idle:
    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...


def candidates(**obstacles: str | None) -> Candidates:
    """All three; those named cannot be had, for that reason."""

    def candidate(kind: BrokerKind) -> Candidate:
        def start(_supervisor: Supervisor) -> tuple[str, Restartable]:
            return f"{kind}:9092", Idle()

        return Candidate(lambda: obstacles.get(kind), start, f"what {kind} is")

    return {kind: candidate(kind) for kind in ORDER}


def test_a_named_address_is_taken_before_anything_is_started(supervisor: Supervisor) -> None:
    broker = open_broker(supervisor, {ADDRESS: "kafka.example:9092"}, candidates())
    assert (broker.kind, broker.bootstrap, broker.server) == (BrokerKind.NAMED, "kafka.example:9092", None)


@pytest.mark.parametrize(
    ("obstacles", "taken"),
    [
        ({}, BrokerKind.DOCKER),
        ({"docker": "no engine"}, BrokerKind.JVM),
        ({"docker": "no engine", "jvm": "no java"}, BrokerKind.WHEEL),
    ],
)
def test_the_first_that_can_be_had_is_taken_and_says_why_not_the_earlier_ones(
    supervisor: Supervisor, obstacles: dict[str, str], taken: BrokerKind
) -> None:
    broker = open_broker(supervisor, {}, candidates(**obstacles))
    assert (broker.kind, broker.bootstrap) == (taken, f"{taken}:9092")
    assert broker.note == "; ".join([f"what {taken} is", *(f"not {kind}: {why}" for kind, why in obstacles.items())])
    assert choose({}, candidates(**obstacles)) == (taken, broker.note)


def test_one_that_fails_to_start_gives_way_to_the_next(supervisor: Supervisor) -> None:
    def fail(_supervisor: Supervisor) -> tuple[str, Restartable]:
        raise Unavailable("out of memory")

    ways = {**candidates(), BrokerKind.DOCKER: Candidate(lambda: None, fail, "what docker is")}
    broker = open_broker(supervisor, {}, ways)
    assert broker.kind is BrokerKind.JVM
    assert "not docker: out of memory" in broker.note


def test_a_forced_kind_is_not_replaced_by_another(supervisor: Supervisor) -> None:
    assert open_broker(supervisor, {FORCED: "wheel"}, candidates()).kind is BrokerKind.WHEEL
    with pytest.raises(ConfigurationError, match="no java"):
        open_broker(supervisor, {FORCED: "jvm"}, candidates(jvm="no java"))


@pytest.mark.parametrize("forced", ["named", "kafka"])
def test_a_kind_that_cannot_be_forced_is_refused_with_those_that_can(forced: str) -> None:
    with pytest.raises(ConfigurationError, match="docker, jvm, wheel"):
        choose({FORCED: forced}, candidates())


def test_nothing_to_be_had_names_every_reason_and_the_variable(supervisor: Supervisor) -> None:
    nothing = candidates(docker="no engine", jvm="no java", wheel="no wheel")
    for attempt in (lambda: open_broker(supervisor, {}, nothing), lambda: choose({}, nothing)):
        with pytest.raises(ConfigurationError) as refused:
            attempt()
        assert all(reason in str(refused.value) for reason in ("no engine", "no java", "no wheel", ADDRESS))


def test_only_the_wheel_is_no_real_kafka() -> None:
    assert [kind for kind in BrokerKind if not kind.real] == [BrokerKind.WHEEL]
