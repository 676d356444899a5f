"""Commits of one consumer: asked for in the event loop, made by the thread that owns the consumer."""

import logging
import threading
from collections.abc import Collection

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pipeline.kafka.inbound import Offsets, Position

logger = logging.getLogger(__name__)

TOO_LARGE = KafkaError.OFFSET_METADATA_TOO_LARGE


class Commits:
    """What is to be committed of `topic`."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._due: dict[int, Position] = {}
        self._lock = threading.Lock()

    def add(self, offsets: Offsets) -> None:
        """Soon; a later call replaces what was not committed yet."""
        with self._lock:
            self._due.update(offsets)

    def forget(self, numbers: Collection[int]) -> None:
        with self._lock:
            for number in numbers:
                self._due.pop(number, None)

    def take(self) -> Offsets:
        """All that is due: it is not due any more."""
        with self._lock:
            due, self._due = self._due, {}
        return due

    def make(self, consumer: Consumer) -> list[int]:
        """All that is due, without waiting for the answer. Answers the partitions for which it could not even be asked.

        What is not assigned (any more) is dropped: the event loop may have asked before it heard that a partition was lost,
        and a broker would take that from any member, over what the new holder has committed.
        """
        if not self._due:
            return []
        ours = {partition.partition for partition in consumer.assignment()}
        if due := {number: position for number, position in self.take().items() if number in ours}:
            try:
                consumer.commit(offsets=self._positions(due), asynchronous=True)
            except KafkaException as error:
                logger.warning("cannot commit %s: %s; it is committed again", self._topic, error.args[0].str())
                return list(due)
        return []

    def make_last(self, consumer: Consumer, offsets: Offsets) -> None:
        """While letting go of these, and wait; the offsets alone, should the broker take no such metadata."""
        try:
            answers = consumer.commit(offsets=self._positions(offsets), asynchronous=False) or []
            refusals = {answer.error.code() for answer in answers if answer.error is not None}
        except KafkaException as error:
            refusals = {error.args[0].code()}
            if TOO_LARGE not in refusals:
                logger.warning("cannot commit %s while letting go: %s", self._topic, error.args[0].str())
        if TOO_LARGE in refusals and any(position.metadata for position in offsets.values()):
            self.make_last(consumer, {number: Position(position.offset) for number, position in offsets.items()})

    def _positions(self, offsets: Offsets) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number, offset, metadata) for number, (offset, metadata) in offsets.items()]


def refusals(error: KafkaError | None, partitions: list[TopicPartition]) -> set[int]:
    """The codes with which the broker answered a commit; none: it counts."""
    codes = {partition.error.code() for partition in partitions if partition.error is not None}
    return codes if error is None else codes | {error.code()}
