"""Partitions that have come to a consumer: what was committed of them is read before their first records are handed on."""

import logging
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from pipeline.kafka.inbound import Inbound, Position

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT = 5.0
"""Seconds that the broker has to say what was committed, while the consumer's thread waits."""

RECALL_TIMEOUT = 15.0
"""Seconds after which a partition is read without knowing what was committed beside its offset: as the ledger has it."""


class Newcomers:
    """Used by the thread that owns the consumer. Holds at most what a few polls bring."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._numbers: set[int] = set()
        self._rewind: set[int] = set()
        self._early: list[Inbound] = []
        self._until = 0.0

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def came(self, numbers: set[int], revoked: set[int]) -> None:
        """`revoked` were taken from us since the last poll began: what that poll brings may be of then or of now."""
        self._numbers |= numbers
        self._rewind |= numbers & revoked
        self._until = time.monotonic() + RECALL_TIMEOUT

    def went(self, numbers: list[int]) -> None:
        self._numbers.difference_update(numbers)
        self._rewind.difference_update(numbers)
        self._early = [record for record in self._early if record.partition in self._numbers]

    def keep_back(self, records: list[Inbound]) -> list[Inbound]:
        """The records of other partitions."""
        self._early += [record for record in records if record.partition in self._numbers]
        return [record for record in records if record.partition not in self._numbers]

    def recall(self, consumer: Consumer) -> tuple[dict[int, Position | None], list[Inbound]] | None:
        """What was committed of them, and the records that were kept back; None: ask again soon.

        Not to be asked from within a rebalance callback: under KIP-848 the group waits for that to return.
        """
        try:
            committed = self._ask(consumer)
            for number in self._rewind:
                position = committed[number]
                consumer.seek(TopicPartition(self._topic, number, position.offset if position else OFFSET_BEGINNING))
        except KafkaException as error:
            if self._rewind or time.monotonic() < self._until:
                return None
            logger.warning("cannot read what was committed of %s: %s", self._topic, error.args[0].str())
            committed = dict.fromkeys(self._numbers)
        early = [record for record in self._early if record.partition not in self._rewind]
        self._early = []
        self._numbers.clear()
        self._rewind.clear()
        return committed, early

    def _ask(self, consumer: Consumer) -> dict[int, Position | None]:
        asked = [TopicPartition(self._topic, number) for number in sorted(self._numbers)]
        return {answer.partition: _position(answer) for answer in consumer.committed(asked, ANSWER_TIMEOUT)}


def _position(answer: TopicPartition) -> Position | None:
    if answer.error is not None:
        raise KafkaException(answer.error)
    return None if answer.offset < 0 else Position(answer.offset, answer.metadata or "")
