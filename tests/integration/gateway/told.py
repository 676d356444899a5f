"""What the gateway has told on the status topic."""

import asyncio
import time

from pipeline.config import KafkaSettings
from pipeline.events.codec import Codec
from pipeline.events.records import DeliveryStatus
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.reader import read_topics

WITHIN = 60.0


async def told(kafka: KafkaSettings, number: int) -> list[DeliveryStatus]:
    """All statuses, once there are so many; more than that come along too."""
    codec = Codec.open()

    def read() -> list[DeliveryStatus]:
        return [
            codec.decode_status(message.value()) for batch in read_topics(kafka, [DELIVERY_STATUS]) for message in batch
        ]

    deadline = time.monotonic() + WITHIN
    found = await asyncio.to_thread(read)
    while len(found) < number and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        found = await asyncio.to_thread(read)
    assert len(found) >= number, found
    return found
