"""What is written for a dead letter that is replayed or dropped. Pure."""

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

import msgspec

from pipeline.dlq.letters import Content, DeadLetter, LetterUnit, Unreadable, source_topic, units_of
from pipeline.events.codec import HEADER_SIZE, MAX_EVENT_BYTES, Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import DeliveryStatus, Dispatch, NotificationRequested
from pipeline.events.vocabulary import Channel, Kind, Origin, Priority, Reason, Status
from pipeline.kafka.names import DELIVERY_STATUS, INGEST, INGEST_DLQ, Header
from pipeline.kafka.producer import Headers, Record

RULE = "dead_letter"
"""`DeliveryStatus.rule` of an event that no rule had decided."""

_REASONS = {reason.value: reason for reason in Reason}
_OURS = frozenset({Header.ORIGIN, Header.REPLAY_ROUND, Header.REPLAY_FIRST})


class Mode(StrEnum):
    """How it is replayed: the router decides it once more, or the worker gets the dispatch that it had."""

    FRESH = "fresh"
    SAME = "same"


class Steps(NamedTuple):
    """What to write: all `statuses` first, so that whatever the record brings about comes behind them."""

    statuses: list[Record]
    record: Record | None


class Stays(NamedTuple):
    """Why it must stay where it is."""

    why: str


def replay(
    letter: DeadLetter, content: Content, mode: Mode, codec: Codec, open_units: Collection[str], now: int
) -> Steps | Stays:
    """Send it back. `open_units` are the ids of those of its units that have no terminal outcome; `now` in ms."""
    record = _from_ingest(letter) if letter.topic == INGEST_DLQ else _from_channel(letter, content, mode, codec)
    if isinstance(record, Stays):
        return record
    reason = _REASONS.get(letter.reason, Reason.MALFORMED)
    units = [unit for unit in units_of(letter, content) if unit.notification_id in open_units]
    told = [_status(letter, content, unit, Status.REPLAYED, reason, now) for unit in units]
    return Steps([_record(letter, codec, status) for status in told if status], record)


def drop(letter: DeadLetter, content: Content, codec: Codec, open_units: Collection[str], now: int) -> Steps:
    """End it as `failed`, reason `dropped`. What cannot be read has no status; an event that was never decided has one
    without a channel.
    """
    units = [unit for unit in units_of(letter, content) if unit.notification_id in open_units]
    if isinstance(content, NotificationRequested) and not letter.comes_again and content.kind is Kind.REQUEST:
        unit = notification_id(content.idempotency_key, content.recipient_id, "")
        units = [LetterUnit(unit, "", content.priority or "")]
    told = [_status(letter, content, unit, Status.FAILED, Reason.DROPPED, now) for unit in units]
    return Steps([_record(letter, codec, status) for status in told if status], None)


def _from_ingest(letter: DeadLetter) -> Record | Stays:
    if len(letter.value or b"") > MAX_EVENT_BYTES + HEADER_SIZE:
        return Stays("is larger than an event may be: drop it")
    first: Headers = [] if letter.comes_again else [(Header.REPLAY_FIRST, b"true")]
    return Record(INGEST, letter.key, letter.value, [*_headers(letter, 0), *first])


def _from_channel(letter: DeadLetter, content: Content, mode: Mode, codec: Codec) -> Record | Stays:
    if isinstance(content, Dispatch) and mode is Mode.FRESH:
        event = msgspec.structs.replace(content.event, channels=[content.channel])
        value = codec.encode_event(event)
        return Record(INGEST, event.recipient_id.encode(), value, _headers(letter, content.decided_at))
    if mode is Mode.FRESH:
        return Stays("cannot be read, so that nothing can be decided afresh: replay it with --decision same")
    topic = source_topic(letter, content)
    if topic is None:
        return Stays("does not say which topic it came from (header dlq.topic), and cannot be read: drop it")
    decided_at = content.decided_at if isinstance(content, Dispatch) else 0
    return Record(topic, letter.key, letter.value, _headers(letter, decided_at))


def _headers(letter: DeadLetter, decided_at: int) -> Headers:
    """Those that it has, its history among them, and that it is replayed."""
    kept = [(name, value) for name, value in letter.headers if name not in _OURS]
    number = str(letter.next_round(decided_at)).encode()
    return [*kept, (Header.ORIGIN, Origin.REPLAYED.encode()), (Header.REPLAY_ROUND, number)]


def _record(letter: DeadLetter, codec: Codec, status: DeliveryStatus) -> Record:
    trace: Headers = [(name, value) for name, value in letter.headers if name == Header.TRACEPARENT]
    return Record(DELIVERY_STATUS, status.recipient_id.encode(), codec.encode_status(status), trace or None)


def _status(
    letter: DeadLetter, content: Content, unit: LetterUnit, status: Status, reason: Reason, now: int
) -> DeliveryStatus | None:
    if isinstance(content, Unreadable):
        return None
    decided = content if isinstance(content, Dispatch) else None
    event = content.event if isinstance(content, Dispatch) else content
    return DeliveryStatus(
        notification_id=unit.notification_id,
        event_id=event.event_id,
        idempotency_key=event.idempotency_key,
        recipient_id=event.recipient_id,
        event_type=event.event_type,
        category=decided.category if decided else "",
        source=event.source,
        channel=Channel(unit.channel) if unit.channel else None,
        priority=Priority(unit.priority or Priority.NORMAL),
        status=status,
        reason=reason,
        rule=decided.rule if decided else RULE,
        policy_version=decided.policy_version if decided else "",
        provider="",
        provider_message_id="",
        attempt=letter.last.attempts,
        in_doubt=any(round_.in_doubt for round_ in letter.rounds),
        occurred_at=now,
        created_at=event.created_at,
        trace_id=decided.trace_id if decided else "",
    )
