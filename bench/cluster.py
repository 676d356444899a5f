"""The servers that a benchmark runs on, and what it does with Kafka from outside."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # not in its __all__

from pipeline.config import KafkaSettings
from pipeline.embedded.line import PARTITIONS, Line, Plan, open_line
from pipeline.embedded.processes import Child
from pipeline.embedded.stack import Stack
from pipeline.errors import Unavailable
from pipeline.kafka.client import base_config, producer_config
from pipeline.kafka.producer import Record

LEADER_WITHIN = 10.0


@dataclass(frozen=True)
class Run:
    """What one process did: `events` in `seconds`, on `cpu_seconds` of processor time."""

    events: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_seconds / self.events * 1e6


@contextmanager
def bench_line(plan: Plan) -> Iterator[Line]:
    """A pipeline on a stack of its own; gone afterwards."""
    with Stack.open() as stack:
        yield open_line(stack, plan)


def end_offsets(kafka: KafkaSettings, topic: str) -> list[int]:
    """One past the last record of each partition."""
    consumer = Consumer({**base_config(kafka), "group.id": "bench-offsets"})
    try:
        return [_end_of(consumer, TopicPartition(topic, p)) for p in range(PARTITIONS)]
    finally:
        consumer.close()


def _end_of(consumer: Consumer, partition: TopicPartition) -> int:
    """A partition that was just made has no leader for a moment."""
    deadline = time.monotonic() + LEADER_WITHIN
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=10)[1]
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def produce_all(kafka: KafkaSettings, records: Sequence[Record]) -> None:
    """Produce and wait for the acknowledgements."""
    producer = Producer(producer_config(kafka, {"linger.ms": 20}))
    for record in records:
        while True:
            try:
                producer.produce(record.topic, record.value, record.key)
                break
            except BufferError:
                producer.poll(0.05)
    producer.flush()


def make_topics(kafka: KafkaSettings, topics: Sequence[str]) -> None:
    admin = AdminClient(base_config(kafka))
    for made in admin.create_topics([NewTopic(t, PARTITIONS, 1) for t in topics]).values():
        made.result(10)


def start_group_at(kafka: KafkaSettings, group: str, topic: str, offsets: Sequence[int]) -> None:
    """Make a group that will begin reading at these offsets."""
    positions = [TopicPartition(topic, p, offset) for p, offset in enumerate(offsets)]
    admin = AdminClient(base_config(kafka))
    request = [ConsumerGroupTopicPartitions(group, positions)]
    for done in admin.alter_consumer_group_offsets(request).values():
        done.result(10)


def watch(kafka: KafkaSettings, child: Child, topic: str, events: int) -> Run:
    """Measure a service from outside, from its first records on `topic` until `events` more are there."""
    consumer = Consumer({**base_config(kafka), "group.id": "bench-offsets"})
    process = psutil.Process(child.pid)
    partitions = [TopicPartition(topic, p) for p in range(PARTITIONS)]

    def count() -> int:
        return sum(_end_of(consumer, p) for p in partitions)

    def cpu() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    base = first = count()
    while first == base:
        time.sleep(0.005)
        first = count()
    began, cpu_began = time.perf_counter(), cpu()
    last = first
    while last - base < events:
        time.sleep(0.01)
        last = count()
    run = Run(last - first, time.perf_counter() - began, cpu() - cpu_began)
    consumer.close()
    return run


def run_peer(line: Line, module: str, *arguments: str, environment: dict[str, str]) -> Run:
    """Run ``python -m bench.peers.MODULE`` to its end; its last line says what it did."""
    child = line.stack.supervisor.python(
        f"peer-{module}-{time.monotonic_ns()}",
        "-m",
        f"bench.peers.{module}",
        *arguments,
        environment={**line.environment, **environment},
    )
    if child.wait(300):
        raise Unavailable(f"{module} failed:\n{child.log_tail()}")
    return Run(**json.loads(child.log_tail(1)))
