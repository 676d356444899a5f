import itertools
import time

import pytest
from confluent_kafka import Producer

from pipeline.config import KafkaSettings
from pipeline.errors import Unavailable
from pipeline.kafka.client import base_config, producer_config
from pipeline.kafka.reader import read_topics
from tests.conftest import MakeTopic, Unique

pytestmark = pytest.mark.broker


def fill(kafka: KafkaSettings, topic: str, values: list[str], *, key: str | None = None) -> None:
    producer = Producer(producer_config(kafka))
    for value in values:
        producer.produce(topic, value, key)
    producer.flush(10)


def read(kafka: KafkaSettings, *topics: str, **options: object) -> list[str]:
    batches = read_topics(kafka, topics, **options)  # type: ignore[arg-type]  # passed through
    return [bytes(message.value() or b"").decode() for batch in batches for message in batch]


def test_everything_up_to_the_end_is_read_once_and_in_order(
    kafka_settings: KafkaSettings, make_topic: MakeTopic
) -> None:
    one, two = make_topic(partitions=3), make_topic()
    fill(kafka_settings, one, [str(n) for n in range(5000)], key="k")
    fill(kafka_settings, two, ["x"])
    values = read(kafka_settings, one, two)
    assert [v for v in values if v != "x"] == [str(n) for n in range(5000)]
    assert values.count("x") == 1


def test_an_empty_topic_ends_at_once(kafka_settings: KafkaSettings, make_topic: MakeTopic) -> None:
    assert read(kafka_settings, make_topic(partitions=3)) == []


def test_what_arrives_after_the_start_is_not_waited_for(kafka_settings: KafkaSettings, make_topic: MakeTopic) -> None:
    topic = make_topic()
    fill(kafka_settings, topic, ["1", "2"])
    batches = read_topics(kafka_settings, [topic], batch=1)
    seen = [next(batches)]
    fill(kafka_settings, topic, ["late"] * 100)
    seen += list(batches)
    assert [message.value() for batch in seen for message in batch] == [b"1", b"2"]


def test_reading_from_a_time_skips_what_is_older(kafka_settings: KafkaSettings, make_topic: MakeTopic) -> None:
    topic = make_topic(partitions=2)
    fill(kafka_settings, topic, ["old"])
    time.sleep(0.05)
    start = time.time_ns() // 1_000_000
    time.sleep(0.05)
    fill(kafka_settings, topic, ["new"])
    assert read(kafka_settings, topic, start=start) == ["new"]
    assert read(kafka_settings, topic, start="latest") == []


def test_following_sees_what_comes_and_lets_its_user_look_up_meanwhile(
    kafka_settings: KafkaSettings, make_topic: MakeTopic
) -> None:
    topic = make_topic()
    fill(kafka_settings, topic, ["before"])
    batches = read_topics(kafka_settings, [topic], start="latest", follow=True)
    assert next(batches) == []
    fill(kafka_settings, topic, ["after"])
    deadline = time.monotonic() + 10
    arrived = next(b for b in itertools.takewhile(lambda _: time.monotonic() < deadline, batches) if b)
    assert [message.value() for message in arrived] == [b"after"]


def test_a_key_is_looked_for_in_the_partition_that_the_producer_chose(
    kafka_settings: KafkaSettings, make_topic: MakeTopic
) -> None:
    topic = make_topic(partitions=12)
    producer = Producer(producer_config(kafka_settings))
    for n in range(40):
        producer.produce(topic, f"v{n}", f"user-{n}")
    producer.flush(10)
    for n in (0, 7, 39):
        assert f"v{n}" in read(kafka_settings, topic, key=f"user-{n}".encode())


@pytest.mark.real_broker
def test_holes_and_aborted_records_do_not_keep_it_from_ending(
    kafka_settings: KafkaSettings, make_topic: MakeTopic, unique: Unique
) -> None:
    topic = make_topic()
    producer = Producer({**base_config(kafka_settings), "transactional.id": unique("tx")})
    producer.init_transactions(20)
    for value, keep in (("kept", True), ("aborted", False)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.commit_transaction(20) if keep else producer.abort_transaction(20)
    deadline = time.monotonic() + 20
    while (values := read(kafka_settings, topic)) == [] and time.monotonic() < deadline:
        time.sleep(0.05)  # the broker marks a transaction as committed after it has said so
    assert values == ["kept"]


def test_a_topic_that_is_not_there_says_what_to_do(kafka_settings: KafkaSettings, unique: Unique) -> None:
    with pytest.raises(Unavailable, match="pipeline topics apply"):
        read(kafka_settings, unique("nope"))
