"""When a consumer counts as ready, as away, as stuck."""

from collections.abc import Callable

from pipeline.kafka.standing import JOINING, RECHECK, STAND_BY, Standing
from pipeline.observability.health import Health, Part

LIMIT = 60.0


class Consumer:
    """One that has begun to poll at time 0."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.health = Health("service")
        self.health.set("service", ok=True)
        self.standing = Standing("t", self.health, self._tell, limit=LIMIT, clock=lambda: self.now)
        self.standing.begin()

    def _tell(self, call: Callable[..., object], *arguments: object) -> None:
        call(*arguments)

    def ready(self) -> bool:
        return self.health.ready

    def live(self) -> bool:
        return self.health.live

    @property
    def part(self) -> Part:
        return self.health.report()["parts"]["kafka t"]


def test_a_consumer_that_only_subscribed_is_not_ready() -> None:
    consumer = Consumer()
    consumer.standing.polled()
    consumer.standing.answers()
    assert consumer.part == {"ok": False, "detail": JOINING}


def test_it_is_ready_once_partitions_are_assigned_and_no_more_once_they_are_lost() -> None:
    consumer = Consumer()
    consumer.standing.joined()
    assert consumer.ready()
    consumer.standing.lost()
    assert consumer.part == {"ok": False, "detail": JOINING}
    consumer.standing.joined()
    assert consumer.ready()


def test_a_member_that_is_given_nothing_stands_by_only_while_kafka_answers() -> None:
    consumer = Consumer()
    consumer.now += STAND_BY
    assert consumer.standing.should_look()
    assert not consumer.ready(), "nobody has answered yet"
    consumer.standing.looked()
    assert consumer.ready()
    assert "stands by" in consumer.part["detail"]


def test_it_asks_for_a_sign_of_life_now_and_then_and_not_while_all_is_well() -> None:
    consumer = Consumer()
    assert not consumer.standing.should_look()
    consumer.now += RECHECK
    assert consumer.standing.should_look()
    assert not consumer.standing.should_look()
    consumer.standing.joined()
    consumer.now += RECHECK
    assert not consumer.standing.should_look()


def test_kafka_going_away_says_why_and_coming_back_restores_what_was() -> None:
    consumer = Consumer()
    consumer.standing.away("no route to Kafka")
    assert consumer.part == {"ok": False, "detail": "no route to Kafka"}
    consumer.standing.answers()
    assert consumer.part == {"ok": False, "detail": JOINING}, "still no member"
    consumer.standing.joined()
    consumer.standing.away("no route to Kafka")
    consumer.standing.answers()
    assert consumer.part == {"ok": True, "detail": ""}


def test_who_has_not_polled_for_longer_than_the_limit_is_stuck_until_it_polls() -> None:
    consumer = Consumer()
    consumer.standing.joined()
    consumer.now += LIMIT
    assert consumer.live()
    consumer.now += 1
    assert not consumer.live()
    assert consumer.part["detail"] == "has not polled for 61 s (limit 60 s)"
    consumer.standing.polled()
    assert consumer.ready()


def test_who_has_ended_is_not_stuck() -> None:
    consumer = Consumer()
    consumer.standing.joined()
    consumer.standing.end()
    consumer.now += 10 * LIMIT
    assert consumer.live()
