"""Produces the demo's events: first at a steady pace, so that latencies mean something, then all at once.

Of the first some ask for a later time: they wait, are released and decided afresh.
"""

import asyncio
import time
from collections.abc import Callable

import msgspec

from pipeline.config import KafkaSettings
from pipeline.events.codec import Codec
from pipeline.events.vocabulary import Kind
from pipeline.kafka.client import producer_config
from pipeline.kafka.names import INGEST
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.testing.traffic import Traffic

TICK = 0.01
BURST = 200
LATER_EACH = 50
LATER_MS = 3_000
"""Each so many events asks for so much later."""

UNREADABLE: tuple[bytes, ...] = (
    b"",
    b'{"event_type": "order.shipped"}',
    b"\x00\x00\x00\x00\x01 cut short",
    b"\x00\x00\x0f\x42\x40 a schema id that nobody knows",
    bytes(range(64)),
)
"""What the ingest topic meets in real life: each must end in its dead-letter topic, and stop nothing."""


async def produce_paced(
    kafka: KafkaSettings, traffic: Traffic, count: int, rate: float, sent: Callable[[int], None]
) -> None:
    """Produce `count` events, `rate` a second; `sent` is told how many more went out."""
    codec = Codec.open()
    async with AsyncProducer(producer_config(kafka)) as producer:
        began, done = time.perf_counter(), 0
        while done < count:
            due = min(count, int((time.perf_counter() - began) * rate) + 1)
            await producer.send_all([_record(codec, traffic, later=not n % LATER_EACH) for n in range(done, due)])
            sent(due - done)
            done = due
            await asyncio.sleep(TICK)


async def produce_burst(kafka: KafkaSettings, traffic: Traffic, count: int, sent: Callable[[int], None]) -> None:
    """Produce `count` events as fast as Kafka takes them, and records among them that nobody can read."""
    codec = Codec.open()
    async with AsyncProducer(producer_config(kafka)) as producer:
        await producer.send_all([Record(INGEST, b"unreadable", value) for value in UNREADABLE])
        for start in range(0, count, BURST):
            batch = [_record(codec, traffic) for _ in range(min(BURST, count - start))]
            await producer.send_all(batch)
            sent(len(batch))


def _record(codec: Codec, traffic: Traffic, *, later: bool = False) -> Record:
    event = traffic.next(time.time_ns() // 1_000_000)
    if later and event.kind is Kind.REQUEST:
        event = msgspec.structs.replace(event, send_at=event.created_at + LATER_MS)
    return Record(INGEST, event.recipient_id.encode(), codec.encode_event(event))
