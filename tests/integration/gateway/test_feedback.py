"""The feedback writer over real servers."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
from redis.asyncio import Redis

from pipeline.config import KafkaSettings
from pipeline.errors import Unavailable
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import DeliveryStatus
from pipeline.events.references import Feedback, Reference, Seal
from pipeline.events.vocabulary import Channel, Priority, Reason, Status
from pipeline.gateway.feedback import FeedbackWriter
from pipeline.kafka.client import producer_config
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.kafka.reader import read_topics
from pipeline.observability.metrics import Metrics
from pipeline.storage.references import ReferenceShelf

NOW = time.time_ns() // 1_000_000


def reference(key: str = "order-1", **changes: object) -> Reference:
    made = Reference(
        notification_id=notification_id(key, "ann", "email"),
        event_id=f"evt-{key}",
        idempotency_key=key,
        recipient_id="ann",
        event_type="order.shipped",
        category="orders",
        source="shop",
        channel=Channel.EMAIL,
        priority=Priority.HIGH,
        stream="transactional",
        rule="allowed",
        policy_version="1",
        created_at=NOW - 5_000,
    )
    return msgspec.structs.replace(made, **changes)


def delivered(at: int = NOW) -> Feedback:
    return Feedback(Status.DELIVERED, Reason.REPORTED, at, "sendgrid", "m-1")


class Topic:
    """Acknowledges, but for what `lost` counts down."""

    def __init__(self, producer: AsyncProducer) -> None:
        self._producer = producer
        self.lost = 0

    async def deliver(self, records: Sequence[Record]) -> list[bool]:
        await self._producer.send_all(records)
        self.lost -= 1
        return [self.lost < 0] * len(records)


@pytest.fixture
async def topic(empty_topics: KafkaSettings) -> AsyncIterator[Topic]:
    async with AsyncProducer(producer_config(empty_topics)) as producer:
        yield Topic(producer)


@pytest.fixture
def writer(topic: Topic, redis: Redis) -> FeedbackWriter:
    return FeedbackWriter(redis, topic.deliver, Codec.open(), Metrics(), retention=60)


async def told(kafka: KafkaSettings) -> list[tuple[bytes, DeliveryStatus]]:
    codec = Codec.open()

    def read() -> list[tuple[bytes, DeliveryStatus]]:
        return [
            (m.key() or b"", codec.decode_status(m.value()))
            for batch in read_topics(kafka, [DELIVERY_STATUS])
            for m in batch
        ]

    return await asyncio.to_thread(read)


async def test_a_repeated_receipt_is_written_once_whatever_time_it_names(
    writer: FeedbackWriter, empty_topics: KafkaSettings
) -> None:
    assert await writer.write([(reference(), delivered()), (reference(), delivered(NOW + 1))]) == 1
    assert await writer.write([(reference(), delivered(NOW + 2))]) == 0
    ((key, status),) = await told(empty_topics)
    assert key == b"ann"
    assert (status.status, status.reason, status.channel) == (Status.DELIVERED, Reason.REPORTED, Channel.EMAIL)


async def test_what_kafka_did_not_acknowledge_is_written_again_as_the_same_record(
    writer: FeedbackWriter, topic: Topic, empty_topics: KafkaSettings
) -> None:
    topic.lost = 1
    with pytest.raises(Unavailable):
        await writer.write([(reference(), delivered())])
    assert await writer.write([(reference(), delivered(NOW + 60_000))]) == 1
    first, second = await told(empty_topics)
    assert first == second


async def test_different_things_about_one_notification_are_all_written(
    writer: FeedbackWriter, empty_topics: KafkaSettings
) -> None:
    clicks = [Feedback(Status.CLICKED, Reason.REPORTED, NOW, detail=f"https://example.com/{n}") for n in (1, 2)]
    pieces = [*clicks, Feedback(Status.OPENED, Reason.REPORTED, NOW), delivered()]
    assert await writer.write([(reference(), piece) for piece in pieces]) == 4
    assert await writer.write([(reference("order-2"), delivered())]) == 1
    assert len(await told(empty_topics)) == 5


async def test_a_shelf_gives_back_what_was_put_there_and_hides_it_from_readers_of_redis(redis: Redis) -> None:
    shelf = ReferenceShelf(redis, Seal([b"secret"]), 60)
    await shelf.put(reference())
    assert await shelf.find(reference().notification_id) == reference()
    assert await shelf.find("another") is None
    (key,) = await redis.keys("ref:*")
    value = await redis.get(key)
    assert isinstance(value, bytes)
    assert b"ann" not in value
    assert 0 < await redis.pttl(key) <= 60_000
