"""Lag by time: how long the first unfinished record of a group has waited."""

import time

import pytest
from confluent_kafka import Producer

from pipeline.config import KafkaSettings
from pipeline.kafka.client import producer_config
from pipeline.observability.lag_age import Ages
from tests.conftest import MakeTopic

pytestmark = pytest.mark.broker


@pytest.fixture
def topic(kafka_settings: KafkaSettings, make_topic: MakeTopic) -> str:
    """Two partitions: records of 900 and 500 seconds ago, and one of 700."""
    name, now = make_topic("aged", partitions=2), time.time()
    producer = Producer(producer_config(kafka_settings))
    for partition, age in ((0, 900), (0, 500), (1, 700)):
        producer.produce(name, b"x", b"k", partition=partition, timestamp=int((now - age) * 1000))
    producer.flush(10)
    return name


def test_the_age_is_that_of_the_oldest_record_that_is_not_finished(kafka_settings: KafkaSettings, topic: str) -> None:
    ages = Ages(kafka_settings)
    assert ages.oldest("g", {(topic, 0): 0, (topic, 1): 0}) == pytest.approx(900, abs=60)
    assert ages.oldest("g", {(topic, 0): 1, (topic, 1): 0}) == pytest.approx(700, abs=60)
    assert ages.oldest("g", {(topic, 0): 1}) == pytest.approx(500, abs=60)
    assert ages.oldest("g", {}) == 0


def test_a_group_that_stands_still_is_asked_for_its_record_once(
    kafka_settings: KafkaSettings, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ages = Ages(kafka_settings)
    first = {(topic, 0): 1}
    assert ages.oldest("g", first) == pytest.approx(500, abs=60)
    monkeypatch.setattr(ages, "_times", lambda wanted: pytest.fail("asked again") if wanted else {})
    assert ages.oldest("g", first) == pytest.approx(500, abs=60)
