"""The pipeline's topics, emptied for each test, and a pen to write what the router and the workers would."""

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from pipeline.config import KafkaSettings, Settings
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import ChannelDecision, Decision, DeliveryStatus
from pipeline.events.vocabulary import Channel, Kind, Origin, Priority, Reason, Status, Verdict
from pipeline.kafka.client import consumer_config, producer_config
from pipeline.kafka.names import DECISIONS, DELIVERY_STATUS


class Pen:
    """Writes decisions and statuses of events ``1``, ``2``… on the push channel."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._producer = Producer(producer_config(kafka))
        self._codec = Codec.open()

    def decision(self, event: str, verdict: Verdict = Verdict.DISPATCH, *, offset: int = 0) -> None:
        channel = ChannelDecision(
            channel=Channel.PUSH,
            verdict=verdict,
            reason=Reason.ALLOWED,
            rule="default",
            notification_id=unit(event),
        )
        decision = Decision(
            event_id=event,
            idempotency_key=event,
            recipient_id=f"user-{event}",
            event_type="order.shipped",
            category="transactional",
            source="shop",
            kind=Kind.REQUEST,
            priority=Priority.HIGH,
            policy_version="1",
            decided_at=1_700_000_000_000,
            origin=Origin.INGEST,
            partition=0,
            offset=offset,
            trace_id="",
            channels=[channel],
        )
        self.raw(DECISIONS, f"user-{event}", self._codec.encode_decision(decision))

    def status(self, event: str, status: Status, *, at: int = 1, in_doubt: bool = False) -> None:
        record = DeliveryStatus(
            notification_id=unit(event),
            event_id=event,
            idempotency_key=event,
            recipient_id=f"user-{event}",
            event_type="order.shipped",
            category="transactional",
            source="shop",
            channel=Channel.PUSH,
            priority=Priority.HIGH,
            status=status,
            reason=Reason.ACCEPTED,
            rule="default",
            policy_version="1",
            provider="fcm",
            provider_message_id="",
            attempt=1,
            in_doubt=in_doubt,
            occurred_at=1_700_000_000_000 + at,
            created_at=1_700_000_000_000,
            trace_id="",
        )
        self.raw(DELIVERY_STATUS, f"user-{event}", self._codec.encode_status(record))

    def raw(self, topic: str, key: str, value: bytes) -> None:
        self._producer.produce(topic, value, key)
        self._producer.flush(10)

    def finish(self, group: str, topic: str, offsets: dict[int, int]) -> None:
        """Commit as the group would."""
        consumer = Consumer(consumer_config(self._kafka, group))
        consumer.commit(offsets=[TopicPartition(topic, p, o) for p, o in offsets.items()], asynchronous=False)
        consumer.close()


def unit(event: str) -> str:
    return notification_id(event, f"user-{event}", Channel.PUSH)


@pytest.fixture
def settings(empty_topics: KafkaSettings) -> Settings:
    return Settings(kafka=empty_topics)


@pytest.fixture
def pen(empty_topics: KafkaSettings) -> Pen:
    return Pen(empty_topics)
