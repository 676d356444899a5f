"""What a dead-letter record looks like: the original bytes untouched, the reason in headers.

A record that was replayed and fails again comes back with all its ``dlq.*`` headers: each time it was dead-lettered is a
*round*, whose headers follow each other, the last round last.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from pipeline.events.vocabulary import Reason
from pipeline.kafka.names import Header
from pipeline.kafka.producer import Headers, Record

MAX_ERROR = 1_000
"""Characters of an error text that travel in a header."""

MAX_ROUNDS = 20
"""Rounds that a record carries; the oldest ones go, its first excepted. `Header.DLQ_ATTEMPTS` counts those too."""

PREFIX = "dlq."

RawHeaders = Sequence[tuple[str, bytes | None]]


class Round(NamedTuple):
    """One time that a record was dead-lettered: why, after how many tries in all, and which record of which topic.

    `at` in ms. What the headers do not say is empty, 0, or −1 for a position.
    """

    reason: str = ""
    error: str = ""
    attempts: int = 0
    topic: str = ""
    partition: int = -1
    offset: int = -1
    at: int = 0
    in_doubt: bool = False


def dead_letter(
    dlq: str,
    *,
    key: bytes | None,
    value: bytes | None,
    headers: RawHeaders,
    topic: str,
    partition: int,
    offset: int,
    reason: Reason,
    error: str,
    attempts: int,
    now: int,
    in_doubt: bool = False,
) -> Record:
    """The record for `dlq` about the record at `topic`, `partition`, `offset`; `now` in ms.

    `attempts` are those of this round, `in_doubt` says that one of them may have been accepted. The original's headers
    stay; where it had been dead-lettered before, its ``dlq.*`` headers are the older ones, and the attempts add up.
    """
    earlier = rounds(headers)
    about = {
        Header.DLQ_REASON: reason,
        Header.DLQ_ERROR: error[:MAX_ERROR],
        Header.DLQ_ATTEMPTS: str(attempts + (earlier[-1].attempts if earlier else 0)),
        Header.DLQ_TOPIC: topic,
        Header.DLQ_PARTITION: str(partition),
        Header.DLQ_OFFSET: str(offset),
        Header.DLQ_AT: datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds"),
        **({Header.DLQ_IN_DOUBT: "true"} if in_doubt else {}),
    }
    kept = _shortened(headers) if len(earlier) >= MAX_ROUNDS else headers
    return Record(dlq, key, value, [*kept, *((name, text.encode()) for name, text in about.items())])


def rounds(headers: RawHeaders) -> list[Round]:
    """Every round that the headers tell of, the oldest first."""
    return [_round(dict(group)) for group in _groups(headers)]


def history(headers: Iterable[tuple[str, bytes | None]]) -> Headers:
    """The headers that tell of rounds, for a record that goes on from this one."""
    return [(name, value) for name, value in headers if name.startswith(PREFIX)]


def _groups(headers: RawHeaders) -> list[list[tuple[str, bytes | None]]]:
    groups: list[list[tuple[str, bytes | None]]] = []
    for name, value in headers:
        if name.startswith(PREFIX):
            if name == Header.DLQ_REASON or not groups:
                groups.append([])
            groups[-1].append((name, value))
    return groups


def _shortened(headers: RawHeaders) -> RawHeaders:
    """Without the second round and what follows it, as far as it takes to be below `MAX_ROUNDS`."""
    first, *others = _groups(headers)
    rest = [header for header in headers if not header[0].startswith(PREFIX)]
    return [*rest, *first, *(header for group in others[2 - MAX_ROUNDS :] for header in group)]


def _round(about: dict[str, bytes | None]) -> Round:
    return Round(
        _text(about.get(Header.DLQ_REASON)),
        _text(about.get(Header.DLQ_ERROR)),
        _number(about.get(Header.DLQ_ATTEMPTS), 0),
        _text(about.get(Header.DLQ_TOPIC)),
        _number(about.get(Header.DLQ_PARTITION), -1),
        _number(about.get(Header.DLQ_OFFSET), -1),
        _instant(about.get(Header.DLQ_AT)),
        Header.DLQ_IN_DOUBT in about,
    )


def _text(value: bytes | None) -> str:
    return (value or b"").decode(errors="replace")


def _number(value: bytes | None, missing: int) -> int:
    return int(value) if value and len(value) < 20 and value.isdigit() else missing


def _instant(value: bytes | None) -> int:
    try:
        return round(datetime.fromisoformat(_text(value)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0
