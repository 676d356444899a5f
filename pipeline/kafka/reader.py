"""Reads topics from a start to an end without a consumer group: nothing is committed, nobody else is disturbed."""

import time
from collections.abc import Collection, Iterator, Sequence
from typing import Literal

from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.config import KafkaSettings
from pipeline.errors import Unavailable
from pipeline.kafka.client import consumer_config
from pipeline.kafka.reach import Reach

Start = int | Literal["earliest", "latest"]
"""Milliseconds since the epoch (the first record not older than that), or an end of the topic."""

Position = tuple[str, int]
"""Topic and partition."""

_POLL_SECONDS = 0.1

_HELD_SECONDS = 5.0
"""How long a partition that stops short of its end is waited for: a new leader may not know yet how far its followers
are. Beyond that the records between are gone."""

_LEADER_SECONDS = 5.0

_END_OF_PARTITION = KafkaError._PARTITION_EOF  # noqa: SLF001 -- librdkafka's own codes are spelled that way

LEADER_MOVES = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})

_HOPELESS = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError._AUTHENTICATION,  # noqa: SLF001
        KafkaError._FATAL,  # noqa: SLF001
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    }
)
"""Errors that waiting does not mend. All others are a broker restart, a change of leader, a network that comes back."""


def read_topics(
    kafka: KafkaSettings,
    topics: Sequence[str],
    *,
    start: Start = "earliest",
    until: int | None = None,
    follow: bool = False,
    key: bytes | None = None,
    partitions: Collection[int] | None = None,
    batch: int = 1_000,
    stall: float = 30.0,
) -> Iterator[list[Message]]:
    """Batches of at most `batch` records, each partition in order, up to the ends as they are now.

    `until` (ms) ends each partition before its first record that is not older, where that is earlier. `key` reads only the partition of each topic that holds the records of that key, `partitions` only these. `follow` goes on for ever; while
    nothing arrives it gives an empty list several times a second, so that its user can look up from it. Compaction and
    transaction markers leave holes in the offsets. Records of an open transaction, and what follows them, are not
    read. Memory is bounded by librdkafka's queue (8 MiB) and one batch.

    Raises:
        Unavailable: Kafka or a topic is not there, or nothing was heard for `stall` seconds before the end.
    """
    reach = Reach(kafka)
    consumer = Consumer(_config(kafka, reach))
    try:
        positions = [position for topic in topics for position in _positions(consumer, reach, topic, key)]
        if partitions is not None:
            positions = [position for position in positions if position[1] in partitions]
        span = _Span(consumer, reach, positions, start, until, follow)
        if span.empty:
            return
        consumer.assign(span.starts)
        yield from _follow(consumer, span, batch) if follow else _to_the_end(consumer, span, reach, batch, stall)
    finally:
        consumer.close()


def _config(kafka: KafkaSettings, reach: Reach) -> dict[str, object]:
    extra: dict[str, str | int] = {"log_level": 0, "isolation.level": "read_committed", "fetch.max.bytes": 4_194_304}
    config = consumer_config(kafka, "notification-reader", extra)
    return {**config, "enable.partition.eof": True, "error_cb": reach.note}


def _follow(consumer: Consumer, span: "_Span", batch: int) -> Iterator[list[Message]]:
    while True:
        yield [message for message in consumer.consume(batch, _POLL_SECONDS) if span.take(message)]


def _to_the_end(consumer: Consumer, span: "_Span", reach: Reach, batch: int, stall: float) -> Iterator[list[Message]]:
    heard_at = time.monotonic()
    while not span.finished:
        messages = consumer.consume(batch, _POLL_SECONDS)
        if any(_is_news(message) for message in messages):
            heard_at = time.monotonic()
        elif span.held_back and time.monotonic() - heard_at > _HELD_SECONDS:
            return
        elif time.monotonic() - heard_at > stall:
            raise Unavailable(reach.failure(f"nothing was read for {stall:.0f} s"))
        taken = [message for message in messages if span.take(message)]
        if done := span.just_finished():
            consumer.pause(done)
        if taken:
            yield taken


def _bounds(consumer: Consumer, position: Position) -> tuple[int, int]:
    """First offset and end of a partition; a partition that has no leader yet (just created, moving) is waited for."""
    deadline = time.monotonic() + _LEADER_SECONDS
    while True:
        try:
            return consumer.get_watermark_offsets(TopicPartition(*position), timeout=10)
        except KafkaException as error:
            if error.args[0].code() not in LEADER_MOVES or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _beyond(consumer: Consumer, bounds: dict[Position, tuple[int, int]]) -> dict[Position, tuple[int, int]]:
    """The same with the true ends: those that were told are where each partition's last batch begins."""
    ends = {position: end for position, (_, end) in bounds.items()}
    consumer.assign([TopicPartition(*position, end) for position, end in ends.items()])
    left, deadline = set(ends), time.monotonic() + _LEADER_SECONDS
    while left and time.monotonic() < deadline:
        for message in consumer.consume(1_000, _POLL_SECONDS):
            if message.error() is None:
                ends[_position(message)] = (message.offset() or 0) + 1
            else:
                left.discard(_position(message))
    consumer.unassign()
    return {position: (low, ends[position]) for position, (low, _) in bounds.items()}


def _is_news(message: Message) -> bool:
    error = message.error()
    return error is None or error.code() == _END_OF_PARTITION


class _Span:
    """From where to where each partition is read, and which are done."""

    def __init__(
        self,
        consumer: Consumer,
        reach: Reach,
        positions: list[Position],
        start: Start,
        until: int | None,
        follow: bool,
    ) -> None:
        try:
            bounds = {p: _bounds(consumer, p) for p in positions}
            if reach.understates_ends:
                bounds = _beyond(consumer, bounds)
            first = _first_offsets(consumer, bounds, start)
            if until is not None and bounds:
                ends = _first_offsets(consumer, bounds, until)
                bounds = {p: (low, min(end, ends[p])) for p, (low, end) in bounds.items()}
        except KafkaException as error:
            raise Unavailable(reach.failure(error.args[0].str())) from error
        self._ends = {} if follow else {p: end for p, (_, end) in bounds.items() if first[p] < end}
        wanted = bounds if follow else self._ends
        self.starts = [TopicPartition(*p, first[p]) for p in wanted]
        self.empty = not self.starts
        self._open = set(self._ends)
        self._held: set[Position] = set()
        self._just_finished: list[Position] = []

    @property
    def finished(self) -> bool:
        return not self._open

    @property
    def held_back(self) -> bool:
        """Whether every partition that is not finished says that it has nothing more to read, short of its end."""
        return self._open <= self._held

    def take(self, message: Message) -> bool:
        """Whether it is a record of the span. Notes which partitions end here."""
        position = _position(message)
        if (error := message.error()) is not None:
            if error.code() == _END_OF_PARTITION:
                self._pause_at(position, message.offset() or 0)
            elif error.code() in _HOPELESS:
                raise Unavailable(f"cannot read {position[0] or 'Kafka'}: {error.str()}")
            return False
        end = self._ends.get(position)
        if end is None:
            return True
        offset = message.offset()
        assert offset is not None, "a record that was read has an offset"
        if offset >= end - 1:
            self._finish(position)
        return offset < end

    def just_finished(self) -> list[TopicPartition]:
        """The partitions that ended since the last call."""
        done, self._just_finished = self._just_finished, []
        return [TopicPartition(*position) for position in done]

    def _pause_at(self, position: Position, offset: int) -> None:
        if offset >= self._ends.get(position, 0):
            self._finish(position)
        else:
            self._held.add(position)

    def _finish(self, position: Position) -> None:
        if position in self._open:
            self._open.remove(position)
            self._just_finished.append(position)


def _position(message: Message) -> Position:
    topic, partition = message.topic(), message.partition()
    return topic or "", -1 if partition is None else partition


def _positions(consumer: Consumer, reach: Reach, topic: str, key: bytes | None) -> list[Position]:
    positions = reach.partitions(consumer, topic)
    return positions if key is None else [positions[partition_of(key, len(positions))]]


def partition_of(key: bytes, partitions: int) -> int:
    """Where every client puts a key: the default partitioner of the Java clients."""
    hashed: int = murmur2(key) & 0x7FFF_FFFF
    return hashed % partitions


def _first_offsets(consumer: Consumer, bounds: dict[Position, tuple[int, int]], start: Start) -> dict[Position, int]:
    if start == "earliest":
        return {p: low for p, (low, _) in bounds.items()}
    if start == "latest":
        return {p: end for p, (_, end) in bounds.items()}
    found = consumer.offsets_for_times([TopicPartition(*p, start) for p in bounds], timeout=10)
    at_time = {(tp.topic, tp.partition): tp.offset for tp in found}
    return {p: at_time[p] if at_time[p] >= 0 else end for p, (_, end) in bounds.items()}
