"""End to end at 300 events a second: ingest topic → in-app publish, beside a bare Kafka round trip in the same run."""

import asyncio
import random
import time

import msgspec
from confluent_kafka import Consumer, Producer

from bench.cluster import bench_line, make_topics
from bench.figures import Figure, figure
from pipeline.config import Settings
from pipeline.demo.latency import Percentiles, percentiles
from pipeline.demo.run import load_users
from pipeline.embedded.line import Line, Plan
from pipeline.events.codec import Codec
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Priority
from pipeline.kafka.client import consumer_config, producer_config
from pipeline.kafka.names import IN_APP_CHANNEL, INGEST
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.storage.redis import open_redis

RATE = 300
SECONDS = 20
WARM_UP = 3
TRIPS = 2_000
USERS = 2_000


def run() -> list[Figure]:
    """Median and 99th percentile."""
    with bench_line(Plan(simulators=None, workers=(Channel.IN_APP,))) as line:
        users = asyncio.run(load_users(line.settings, USERS))
        line.await_ready()
        ours = asyncio.run(_end_to_end(line.settings, users))
        peer = _round_trip(line)
    return [
        figure("e2e.p50", "ms", ours.p50, peer.p50, "Kafka round trip"),
        figure("e2e.p99", "ms", ours.p99, peer.p99, "Kafka round trip"),
    ]


async def _end_to_end(settings: Settings, users: list[str]) -> Percentiles:
    sent: dict[str, float] = {}
    latencies: list[float] = []
    arrived = asyncio.Event()
    expected = RATE * SECONDS
    async with open_redis(settings.redis) as redis, redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(IN_APP_CHANNEL)

        async def listen() -> None:
            async for message in pubsub.listen():
                order = msgspec.json.decode(message["data"])["data"]["data"]["order_id"]
                latencies.append((time.perf_counter() - sent[order]) * 1000)
                if len(latencies) == expected:
                    arrived.set()

        listener = asyncio.create_task(listen())
        await _produce(settings, users, sent, expected)
        await asyncio.wait_for(arrived.wait(), 60)
        listener.cancel()
    steady = percentiles(latencies[RATE * WARM_UP :])
    assert steady is not None
    return steady


async def _produce(settings: Settings, users: list[str], sent: dict[str, float], count: int) -> None:
    codec, rnd = Codec.open(), random.Random(1)
    async with AsyncProducer(producer_config(settings.kafka, {"linger.ms": 0})) as producer:
        began = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
            order, user = f"ORD-{number}", rnd.choice(users)
            event = NotificationRequested(
                event_id=f"evt_{number}",
                event_type="security.bench",  # mandatory: it reaches also those who turned a channel off
                recipient_id=user,
                channels=[Channel.IN_APP],
                priority=Priority.CRITICAL,
                data=f'{{"order_id":"{order}"}}',
                idempotency_key=order,
                created_at=time.time_ns() // 1_000_000,
                source="bench",
            )
            sent[order] = time.perf_counter()
            await producer.send(Record(INGEST, user.encode(), codec.encode_event(event)), lambda _error: None)


def _round_trip(line: Line) -> Percentiles:
    kafka = line.settings.kafka
    make_topics(kafka, ["bench.rtt"])
    consumer = Consumer(consumer_config(kafka, "bench-rtt"))
    consumer.subscribe(["bench.rtt"])
    producer = Producer(producer_config(kafka, {"linger.ms": 0}))
    latencies: list[float] = []
    for trip in range(TRIPS + 1):
        began = time.perf_counter()
        producer.produce("bench.rtt", b"x")
        producer.poll(0)
        while consumer.poll(1) is None:
            producer.poll(0)
        if trip:
            latencies.append((time.perf_counter() - began) * 1000)
    producer.flush()
    consumer.close()
    found = percentiles(latencies)
    assert found is not None
    return found
