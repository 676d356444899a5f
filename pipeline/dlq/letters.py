"""A dead letter as it lies in its topic, and what can be read of it. Pure."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from pipeline.errors import MalformedRecord, UnknownSchema
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import Dispatch, NotificationRequested
from pipeline.events.vocabulary import Kind, Origin
from pipeline.kafka.dead_letters import Round, rounds
from pipeline.kafka.names import DISPATCH_TOPICS, INGEST_DLQ, Header, dispatch_topic
from pipeline.kafka.tracing import header, number_of, origin_of

Position = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """One record of a dead-letter topic; `timestamp` in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]

    @property
    def position(self) -> Position:
        return self.topic, self.partition, self.offset

    @property
    def place(self) -> str:
        """The position as people write it."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @cached_property
    def rounds(self) -> list[Round]:
        """Each time that it was dead-lettered, this one last; one that says nothing where it has no such headers."""
        return rounds(self.headers) or [Round()]

    @property
    def last(self) -> Round:
        return self.rounds[-1]

    @property
    def reason(self) -> str:
        return self.last.reason

    @property
    def at(self) -> int:
        """When it was dead-lettered (ms)."""
        return self.last.at or self.timestamp

    @property
    def source(self) -> str:
        """Which record of which topic it is about. A crash at the wrong moment writes the same dead letter twice: the
        copies have one source. (The checksum tells topics apart that were deleted and made anew.)
        """
        last = self.last
        if not last.topic:
            return self.place
        return f"{last.topic}/{last.partition}/{last.offset}/{zlib.crc32(self.value or b'')}"

    @property
    def comes_again(self) -> bool:
        """Whether the event in an ingest dead letter had been decided before, and came to the router once more."""
        return origin_of(self.headers) is not Origin.INGEST and not header(self.headers, Header.REPLAY_FIRST)

    def next_round(self, decided_at: int) -> int:
        """A number for its replay: the same however often it is replayed, higher than in its rounds before (ms)."""
        return max(decided_at, self.at, number_of(self.headers, Header.REPLAY_ROUND)) + 1


class Unreadable(NamedTuple):
    """Why a dead letter cannot be read. `schema_id` is the one that nobody knows, where that is why."""

    text: str
    schema_id: int | None = None


Content = Dispatch | NotificationRequested | Unreadable


class LetterUnit(NamedTuple):
    """One event × channel that waits for the dead letter."""

    notification_id: str
    channel: str
    priority: str


def read_content(codec: Codec, letter: DeadLetter) -> Content:
    """What it holds: an event in the ingest dead-letter topic, else a dispatch record."""
    try:
        if letter.topic == INGEST_DLQ:
            return codec.decode_event(letter.value).event
        return codec.decode_dispatch(letter.value)
    except UnknownSchema as error:
        return Unreadable(str(error), error.schema_id)
    except MalformedRecord as error:
        return Unreadable(str(error))


def event_of(content: Content) -> NotificationRequested | None:
    match content:
        case Dispatch():
            return content.event
        case NotificationRequested():
            return content
    return None


def units_of(letter: DeadLetter, content: Content) -> Iterable[LetterUnit]:
    """The units that were accepted before it was dead-lettered. An event that was never decided has none."""
    match content:
        case Dispatch():
            return [LetterUnit(content.notification_id, content.channel, content.priority)]
        case NotificationRequested(kind=Kind.REQUEST) if letter.comes_again:
            key, recipient, priority = content.idempotency_key, content.recipient_id, content.priority or ""
            return [LetterUnit(notification_id(key, recipient, c), c, priority) for c in content.channels]
    return []


def source_topic(letter: DeadLetter, content: Content) -> str | None:
    """The dispatch topic that it came from; None where that cannot be told."""
    if letter.last.topic in DISPATCH_TOPICS:
        return letter.last.topic
    return dispatch_topic(content.channel, content.priority) if isinstance(content, Dispatch) else None
