import asyncio

import pytest
from confluent_kafka import Producer

from pipeline.config import KafkaSettings
from pipeline.errors import Unavailable
from pipeline.kafka.client import producer_config
from pipeline.kafka.handled_topic import read_handled
from pipeline.kafka.names import INGEST, INGEST_DLQ, ROUTER_GROUP
from pipeline.observability.health import Health
from pipeline.observability.lag import OffsetReader, sample_lag
from pipeline.observability.metrics import Metrics

pytestmark = pytest.mark.broker


async def test_the_gauges_follow_the_cluster(empty_topics: KafkaSettings) -> None:
    before = OffsetReader(empty_topics).read().depths[INGEST_DLQ]
    producer = Producer(producer_config(empty_topics))
    producer.produce(INGEST_DLQ, b"x", b"user")
    producer.flush(10)
    metrics, health = Metrics(), Health("kafka")
    sampler = asyncio.create_task(sample_lag(empty_topics, metrics, health, every=1))
    for _ in range(1000):
        await asyncio.sleep(0.05)
        depth = metrics.registry.get_sample_value("notifications_dlq_depth", {"topic": INGEST_DLQ})
        if depth is not None:
            break
    sampler.cancel()
    seconds = metrics.registry.get_sample_value(
        "notifications_consumer_lag_seconds", {"group": ROUTER_GROUP, "topic": INGEST}
    )
    lag = metrics.registry.get_sample_value("notifications_consumer_lag", {"group": ROUTER_GROUP, "topic": INGEST})
    assert (lag, seconds) == (0, 0)
    assert depth == before + 1


def test_the_depth_falls_when_a_dead_letter_is_dealt_with(empty_topics: KafkaSettings) -> None:
    reader = OffsetReader(empty_topics)
    written: list[int] = []
    producer = Producer(producer_config(empty_topics))
    producer.produce(INGEST_DLQ, b"x", b"user", partition=0, on_delivery=lambda _, m: written.append(m.offset() or 0))
    producer.flush(10)
    before = reader.depth_of(INGEST_DLQ)
    handled = read_handled(empty_topics)
    handled.add(INGEST_DLQ, 0, written[0])
    for record in handled.take_changes():
        producer.produce(record.topic, record.value, record.key)
    producer.flush(10)
    assert reader.depth_of(INGEST_DLQ) == before - 1


def test_a_kafka_that_is_away_is_named_with_the_setting_to_change() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1.*PIPELINE_KAFKA__BOOTSTRAP_SERVERS"):
        OffsetReader(KafkaSettings(bootstrap_servers="127.0.0.1:1")).read()
