"""What is written for a dead letter that is replayed or dropped."""

import pytest

from pipeline.dlq.handling import Mode, Stays, Steps, drop, replay
from pipeline.dlq.letters import Content, DeadLetter, Unreadable, read_content
from pipeline.events.codec import MAX_EVENT_BYTES, Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import DeliveryStatus
from pipeline.events.vocabulary import Channel, Kind, Reason, Status
from pipeline.kafka.dead_letters import rounds
from pipeline.kafka.names import DELIVERY_STATUS, INGEST, INGEST_DLQ
from pipeline.kafka.producer import Record
from tests.unit.dlq.conftest import AT, HIGH, UNIT, dispatch, event, letter_of

NOW = AT + 60_000


def replayed(letter: DeadLetter, codec: Codec, mode: Mode = Mode.FRESH) -> tuple[list[DeliveryStatus], Record]:
    steps = replay(letter, read_content(codec, letter), mode, codec, {UNIT}, NOW)
    assert isinstance(steps, Steps)
    assert steps.record is not None
    return told(steps, codec), steps.record


def told(steps: Steps, codec: Codec) -> list[DeliveryStatus]:
    assert {record.topic for record in steps.statuses} <= {DELIVERY_STATUS}
    return [codec.decode_status(record.value) for record in steps.statuses]


def headers(record: Record) -> dict[str, str | bytes | None]:
    return dict(record.headers or [])


def again(record: Record, *, topic: str = HIGH, offset: int = 90) -> DeadLetter:
    """The dead letter of a replayed record that failed once more."""
    kept = [
        (name, value if value is None or isinstance(value, bytes) else value.encode())
        for name, value in record.headers or []
    ]
    return letter_of(record.value, topic=topic, headers=kept, offset=offset, at=NOW)


def test_the_same_dispatch_goes_back_untouched_to_the_topic_that_it_came_from(
    undelivered: DeadLetter, codec: Codec
) -> None:
    (status,), record = replayed(undelivered, codec, Mode.SAME)
    assert (record.topic, record.key, record.value) == (HIGH, b"ann", undelivered.value)
    assert (status.status, status.reason, status.notification_id) == (Status.REPLAYED, Reason.TEMPLATE_ERROR, UNIT)
    assert (status.channel, status.occurred_at, status.attempt) == (Channel.EMAIL, NOW, 2)
    assert headers(record)["origin"] == b"replayed"
    assert headers(record)["traceparent"] == b"t"


def test_a_fresh_decision_is_asked_for_the_one_channel_that_failed(undelivered: DeadLetter, codec: Codec) -> None:
    (status,), record = replayed(undelivered, codec)
    assert (record.topic, record.key) == (INGEST, b"ann")
    asked = codec.decode_event(record.value).event
    assert asked.channels == [Channel.EMAIL], "the push of this event was sent: it must not be decided again"
    assert asked == event(channels=[Channel.EMAIL])
    assert headers(record)["origin"] == b"replayed"
    assert "replay.first" not in headers(record)
    assert status.status is Status.REPLAYED


@pytest.mark.parametrize("mode", Mode)
def test_replaying_it_once_more_is_the_same_round_and_a_new_failure_a_higher_one(
    undelivered: DeadLetter, codec: Codec, mode: Mode
) -> None:
    _, first = replayed(undelivered, codec, mode)
    _, copy = replayed(undelivered, codec, mode)
    assert headers(first)["replay.round"] == headers(copy)["replay.round"]
    assert first.value == copy.value
    _, second = replayed(again(replayed(undelivered, codec, Mode.SAME)[1]), codec, mode)
    numbers = [int(headers(record)["replay.round"] or b"") for record in (first, second)]
    assert dispatch().decided_at < numbers[0] < numbers[1]
    assert [name for name, _ in second.headers or []].count("origin") == 1


def test_a_clock_that_is_behind_makes_no_round_lower_than_the_one_before(undelivered: DeadLetter, codec: Codec) -> None:
    _, first = replayed(undelivered, codec, Mode.SAME)
    failed = letter_of(first.value, headers=first.headers or [], at=AT - 3_600_000)  # type: ignore[arg-type]  # bytes
    _, second = replayed(failed, codec, Mode.SAME)
    assert int(headers(second)["replay.round"] or b"") > int(headers(first)["replay.round"] or b"")


def test_what_fails_again_has_its_history(undelivered: DeadLetter, codec: Codec) -> None:
    _, record = replayed(undelivered, codec, Mode.SAME)
    history = again(record).rounds
    assert [(r.offset, r.attempts) for r in history] == [(11, 2), (90, 4)]


def test_a_refused_event_goes_back_untouched_and_is_decided_for_the_first_time(
    refused: DeadLetter, codec: Codec
) -> None:
    statuses, record = replayed(refused, codec)
    assert statuses == [], "nothing was accepted yet: an outcome would be one without a decision"
    assert (record.topic, record.value) == (INGEST, refused.value)
    assert headers(record)["origin"] == b"replayed"
    assert headers(record)["replay.first"] == b"true"
    assert len(rounds(record.headers or [])) == 1  # type: ignore[arg-type]  # all are bytes


def test_an_event_that_the_router_refused_when_it_came_again_is_not_decided_for_the_first_time(codec: Codec) -> None:
    released = letter_of(
        codec.encode_event(event(channels=[Channel.EMAIL])),
        topic=INGEST,
        dlq=INGEST_DLQ,
        headers=[("origin", b"released")],
    )
    (status,), record = replayed(released, codec)
    assert "replay.first" not in headers(record)
    assert (status.status, status.notification_id) == (Status.REPLAYED, UNIT)
    once_more = letter_of(record.value, topic=INGEST, dlq=INGEST_DLQ, headers=record.headers or [])  # type: ignore[arg-type]
    assert once_more.comes_again


def test_what_is_malformed_still_goes_back_as_it_is(codec: Codec) -> None:
    poison = letter_of(b"\xff\x00", topic=INGEST, dlq=INGEST_DLQ, reason=Reason.MALFORMED)
    statuses, record = replayed(poison, codec)
    assert (statuses, record.topic, record.value) == ([], INGEST, b"\xff\x00")


def test_nothing_can_be_decided_about_what_cannot_be_read(codec: Codec) -> None:
    poison = letter_of(b"\xff\x00", reason=Reason.MALFORMED)
    content = read_content(codec, poison)
    fresh = replay(poison, content, Mode.FRESH, codec, set(), NOW)
    assert isinstance(fresh, Stays)
    assert "--decision same" in fresh.why
    same = replay(poison, content, Mode.SAME, codec, set(), NOW)
    assert isinstance(same, Steps)
    assert same.record is not None
    assert (same.record.topic, same.record.value, same.statuses) == (HIGH, b"\xff\x00", [])


def test_a_header_cannot_send_a_record_to_a_topic_that_is_none_of_the_lines(
    undelivered: DeadLetter, codec: Codec
) -> None:
    forged = letter_of(b"\xff", topic="payments")
    assert isinstance(replay(forged, Unreadable("?"), Mode.SAME, codec, set(), NOW), Stays)
    by_content = letter_of(undelivered.value, topic="payments")
    _, record = replayed(by_content, codec, Mode.SAME)
    assert record.topic == HIGH


def test_what_is_larger_than_any_event_stays(codec: Codec) -> None:
    huge = letter_of(bytes(MAX_EVENT_BYTES + 6), topic=INGEST, dlq=INGEST_DLQ)
    assert isinstance(replay(huge, Unreadable("?"), Mode.FRESH, codec, set(), NOW), Stays)


def dropped(letter: DeadLetter, codec: Codec, content: Content | None = None) -> list[DeliveryStatus]:
    steps = drop(letter, content or read_content(codec, letter), codec, {UNIT}, NOW)
    assert steps.record is None
    return told(steps, codec)


def test_a_dropped_notification_ends_as_failed(undelivered: DeadLetter, codec: Codec) -> None:
    (status,) = dropped(undelivered, codec)
    assert (status.status, status.reason, status.notification_id) == (Status.FAILED, Reason.DROPPED, UNIT)
    assert (status.rule, status.policy_version, status.category) == ("allowed", "7", "orders")
    assert not status.in_doubt


def test_what_may_have_been_sent_says_so_when_it_is_dropped(codec: Codec) -> None:
    (status,) = dropped(letter_of(codec.encode_dispatch(dispatch()), in_doubt=True), codec)
    assert status.in_doubt


def test_a_dropped_event_that_was_never_decided_has_an_outcome_without_a_channel(
    refused: DeadLetter, codec: Codec
) -> None:
    (status,) = dropped(refused, codec)
    assert (status.status, status.reason, status.channel) == (Status.FAILED, Reason.DROPPED, None)
    assert status.notification_id == notification_id("k1", "ann", "")


def test_a_dropped_cancel_and_what_cannot_be_read_have_no_outcome(codec: Codec) -> None:
    cancel = letter_of(codec.encode_event(event(Kind.CANCEL)), topic=INGEST, dlq=INGEST_DLQ)
    assert dropped(cancel, codec) == []
    assert dropped(letter_of(b"\xff"), codec) == []


def test_a_unit_that_has_its_outcome_gets_no_other(undelivered: DeadLetter, codec: Codec) -> None:
    content = read_content(codec, undelivered)
    assert drop(undelivered, content, codec, set(), NOW).statuses == []
