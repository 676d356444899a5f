"""Reads dead-letter topics from end to end, without a consumer group."""

from collections.abc import Iterator, Sequence

from confluent_kafka import Message

from pipeline.config import KafkaSettings
from pipeline.dlq.letters import DeadLetter
from pipeline.kafka.handled import Handled
from pipeline.kafka.inbound import inbound
from pipeline.kafka.reader import read_topics

BATCH = 50
"""Records in memory at once: each may be of 2 MiB."""


def scan(
    kafka: KafkaSettings, topics: Sequence[str], handled: Handled | None = None, *, batch: int = BATCH
) -> Iterator[list[DeadLetter]]:
    """The dead letters of `topics` up to the ends as they are now, without those that are `handled`.

    Raises:
        Unavailable: Kafka or a topic is not there.
    """
    for messages in read_topics(kafka, topics, batch=batch):
        letters = [_letter(message) for message in messages]
        yield [letter for letter in letters if handled is None or letter.position not in handled]


def _letter(message: Message) -> DeadLetter:
    record = inbound(message)
    return DeadLetter(
        topic=message.topic() or "",
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=record.key,
        value=record.value,
        headers=record.headers,
    )
