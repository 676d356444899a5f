"""How old the first record is that a group has not finished: lag as the time that people wait."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from pipeline.config import KafkaSettings
from pipeline.kafka.client import consumer_config
from pipeline.kafka.reach import Reach

LOOK_SECONDS = 3.0
"""How long the records are waited for; a partition that does not answer in time tells its age the next time."""

_ONE_BATCH: dict[str, str | int] = {"max.partition.fetch.bytes": 1, "queued.min.messages": 1, "fetch.wait.max.ms": 10}
"""A broker answers with one batch at least, however little is asked for."""

Position = tuple[str, int]
"""Topic and partition."""


class _First(NamedTuple):
    """The first unfinished record: its offset, or that of the first one behind it that is still there; time in ms."""

    offset: int
    at: int


class Ages:
    """Reads a record's time once, and no more while its group stands still. Blocks; commits nothing."""

    def __init__(self, kafka: KafkaSettings, clock: Callable[[], float] = time.time) -> None:
        self._kafka = kafka
        self._reach = Reach(kafka)
        self._clock = clock
        self._known: dict[tuple[str, Position], _First] = {}

    def oldest(self, group: str, first: Mapping[Position, int]) -> float:
        """Seconds since the oldest of these records was written; `first` holds one offset for each partition."""
        known = self._known
        for key in [key for key in known if key[0] == group and first.get(key[1]) != known[key].offset]:
            del known[key]
        unknown = {position: offset for position, offset in first.items() if (group, position) not in known}
        for position, at in self._times(unknown).items():
            known[group, position] = _First(unknown[position], at)
        times = [known[group, position].at for position in first if (group, position) in known]
        return max(0.0, self._clock() - min(times) / 1000) if times else 0.0

    def _times(self, offsets: Mapping[Position, int]) -> dict[Position, int]:
        if not offsets:
            return {}
        extra = {**_ONE_BATCH, "isolation.level": "read_committed"}
        consumer = Consumer({**consumer_config(self._kafka, "notification-lag", extra), "error_cb": self._reach.note})
        try:
            consumer.assign([TopicPartition(*position, offset) for position, offset in offsets.items()])
            return self._collect(consumer, len(offsets))
        except KafkaException:
            return {}  # whoever asked for the offsets will say that Kafka is away
        finally:
            consumer.close()

    def _collect(self, consumer: Consumer, count: int) -> dict[Position, int]:
        times: dict[Position, int] = {}
        deadline = time.monotonic() + LOOK_SECONDS
        while len(times) < count and (left := deadline - time.monotonic()) > 0:
            for message in consumer.consume(100, min(left, 0.1)):
                if message.error() is None and (position := _position(message)) not in times:
                    times[position] = message.timestamp()[1]
                    consumer.pause([TopicPartition(*position)])
        return times


def _position(message: Message) -> Position:
    topic, partition = message.topic(), message.partition()
    assert topic is not None
    assert partition is not None
    return topic, partition
