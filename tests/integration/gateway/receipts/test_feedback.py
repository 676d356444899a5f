"""The feedback writer over real servers."""

from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from pipeline.config import KafkaSettings
from pipeline.errors import Unavailable
from pipeline.events.codec import Codec
from pipeline.events.references import Feedback, Seal
from pipeline.events.vocabulary import Channel, Reason, Status
from pipeline.gateway.feedback import FeedbackWriter
from pipeline.kafka.client import producer_config
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.observability.metrics import Metrics
from pipeline.storage.references import ReferenceShelf
from tests.integration.gateway.receipts.conftest import NOW, Person, told

pytestmark = [pytest.mark.broker, pytest.mark.asyncio(loop_scope="module")]


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


@pytest_asyncio.fixture(loop_scope="module")
async def topic(kafka: KafkaSettings) -> AsyncIterator[Topic]:
    async with AsyncProducer(producer_config(kafka)) as producer:
        yield Topic(producer)


@pytest.fixture
def writer(topic: Topic, redis: Redis) -> FeedbackWriter:
    return FeedbackWriter(redis, topic.deliver, Codec.open(), Metrics(), retention=60)


async def test_a_repeated_receipt_is_written_once_whatever_time_it_names(
    writer: FeedbackWriter, kafka: KafkaSettings, ann: Person
) -> None:
    assert await writer.write([(ann.reference(), delivered()), (ann.reference(), delivered(NOW + 1))]) == 1
    assert await writer.write([(ann.reference(), delivered(NOW + 2))]) == 0
    (status,) = await told(kafka, ann)
    assert (status.status, status.reason, status.channel) == (Status.DELIVERED, Reason.REPORTED, Channel.EMAIL)


async def test_what_kafka_did_not_acknowledge_is_written_again_as_the_same_record(
    writer: FeedbackWriter, topic: Topic, kafka: KafkaSettings, ann: Person
) -> None:
    topic.lost = 1
    with pytest.raises(Unavailable):
        await writer.write([(ann.reference(), delivered())])
    assert await writer.write([(ann.reference(), delivered(NOW + 60_000))]) == 1
    first, second = await told(kafka, ann)
    assert first == second


async def test_different_things_about_one_notification_are_all_written(
    writer: FeedbackWriter, kafka: KafkaSettings, ann: Person
) -> None:
    clicks = [Feedback(Status.CLICKED, Reason.REPORTED, NOW, detail=f"https://example.com/{n}") for n in (1, 2)]
    pieces = [*clicks, Feedback(Status.OPENED, Reason.REPORTED, NOW), delivered()]
    assert await writer.write([(ann.reference(), piece) for piece in pieces]) == 4
    assert await writer.write([(ann.reference("order-2"), delivered())]) == 1
    assert len(await told(kafka, ann)) == 5


async def test_a_shelf_gives_back_what_was_put_there_and_hides_it_from_readers_of_redis(
    redis: Redis, ann: Person
) -> None:
    shelf = ReferenceShelf(redis, Seal([b"secret"]), 60)
    await shelf.put(ann.reference())
    assert await shelf.find([ann.reference().notification_id, "nobody's"]) == {
        ann.reference().notification_id: ann.reference()
    }
    assert await shelf.find([]) == {}
    (key,) = await redis.keys(f"ref:*{ann.reference().notification_id}*")
    value = await redis.get(key)
    assert isinstance(value, bytes)
    assert ann.user_id.encode() not in value
    assert 0 < await redis.pttl(key) <= 60_000
