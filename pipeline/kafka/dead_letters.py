"""What a dead-letter record looks like: the original bytes untouched, the reason in headers."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.events.vocabulary import Reason
from pipeline.kafka.names import Header
from pipeline.kafka.producer import Record

MAX_ERROR = 1_000
"""Characters of an error text that travel in a header."""


def dead_letter(
    dlq: str,
    *,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    topic: str,
    partition: int,
    offset: int,
    reason: Reason,
    error: str,
    attempts: int,
    now: int,
) -> Record:
    """The record for `dlq` about the record at `topic`, `partition`, `offset`; `now` in ms.

    The original's headers stay; where it had been dead-lettered before, its ``dlq.*`` headers are the older ones.
    """
    about = {
        Header.DLQ_REASON: reason,
        Header.DLQ_ERROR: error[:MAX_ERROR],
        Header.DLQ_ATTEMPTS: str(attempts),
        Header.DLQ_TOPIC: topic,
        Header.DLQ_PARTITION: str(partition),
        Header.DLQ_OFFSET: str(offset),
        Header.DLQ_AT: datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds"),
    }
    return Record(dlq, key, value, [*headers, *((name, text.encode()) for name, text in about.items())])
