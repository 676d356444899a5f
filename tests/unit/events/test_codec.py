import contextlib
import io
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import MalformedRecord, UnknownSchema
from pipeline.events.codec import MAX_EVENT_BYTES, Codec, schema_id
from pipeline.events.records import (
    ChannelDecision,
    Decision,
    Deferred,
    DeliveryStatus,
    Dispatch,
    NotificationRequested,
)
from pipeline.events.schemas import SchemaBook
from pipeline.events.vocabulary import Channel, Kind, Origin, Priority, Reason, Status, Verdict

BOOK = SchemaBook.from_lock()
CODEC = Codec.open(BOOK)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
long_texts = st.builds(lambda text, times: text * times, texts, st.sampled_from([1, 30]))
ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=255)
labels = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=35)
times = st.integers(946_684_800_000, 7_258_118_400_000)
longs = st.integers(-(2**63), 2**63 - 1)
objects = st.dictionaries(texts, st.recursive(texts | st.booleans() | longs, lambda inner: st.lists(inner, max_size=3)))

events = st.builds(
    NotificationRequested,
    event_id=ids,
    event_type=ids,
    recipient_id=ids,
    channels=st.lists(st.sampled_from(Channel), unique=True),
    priority=st.none() | st.sampled_from(Priority),
    data=objects.map(lambda data: json.dumps(data, ensure_ascii=False)),
    idempotency_key=ids,
    created_at=times,
    source=labels,
    send_at=st.none() | times,
    expires_at=st.none() | times,
    collapse_key=st.none() | labels,
    locale=st.none() | labels,
    template=st.none() | labels,
    kind=st.sampled_from(Kind),
)
_told = {
    "notification_id": texts,
    "category": texts,
    "rule": texts,
    "policy_version": texts,
    "trace_id": texts,
    "priority": st.sampled_from(Priority),
}
dispatches = st.builds(
    Dispatch,
    **_told,
    channel=st.sampled_from(Channel),
    stream=texts,
    template=texts,
    collapse_key=st.none() | texts,
    expires_at=st.none() | longs,
    decided_at=longs,
    origin=st.sampled_from(Origin),
    event=events,
)
deferreds = st.builds(
    Deferred,
    **_told,
    channel=st.sampled_from(Channel),
    until=longs,
    reason=st.sampled_from(Reason),
    deferred_at=longs,
    stage=texts,
    attempts=st.integers(0, 2**31 - 1),
    event=events,
)
decisions = st.builds(
    Decision,
    **{name: value for name, value in _told.items() if name not in ("notification_id", "rule")},
    event_id=texts,
    idempotency_key=texts,
    recipient_id=texts,
    event_type=texts,
    source=texts,
    kind=st.sampled_from(Kind),
    decided_at=longs,
    origin=st.sampled_from(Origin),
    partition=st.integers(0, 2**31 - 1),
    offset=longs,
    channels=st.lists(
        st.builds(
            ChannelDecision,
            channel=st.sampled_from(Channel),
            verdict=st.sampled_from(Verdict),
            reason=st.sampled_from(Reason),
            rule=texts,
            notification_id=texts,
            until=st.none() | longs,
            inputs=texts,
        ),
        max_size=5,
    ),
    inputs=long_texts,
)
statuses = st.builds(
    DeliveryStatus,
    **_told,
    event_id=texts,
    idempotency_key=texts,
    recipient_id=texts,
    event_type=texts,
    source=texts,
    channel=st.none() | st.sampled_from(Channel),
    status=st.sampled_from(Status),
    reason=st.sampled_from(Reason),
    provider=texts,
    provider_message_id=long_texts,
    attempt=st.integers(0, 2**31 - 1),
    in_doubt=st.booleans(),
    occurred_at=longs,
    created_at=longs,
)

EVENT = NotificationRequested(
    event_id="evt_abc123",
    event_type="order.shipped",
    recipient_id="user_789",
    channels=[Channel.PUSH, Channel.EMAIL],
    priority=Priority.HIGH,
    data='{"order_id":"ORD-456","nested":{"a":[1,2.5,null]}}',
    idempotency_key="order_shipped_ORD-456",
    created_at=1_771_840_800_000,
)


def by_fastavro(record: msgspec.Struct) -> bytes:
    """The record as fastavro writes it, header included."""
    name = type(record).__name__
    stripped = json.loads(json.dumps(BOOK.schema_of(name)).replace('"logicalType"', '"was"'))
    target = io.BytesIO()
    fastavro.schemaless_writer(target, fastavro.parse_schema(stripped), msgspec.to_builtins(record))
    return b"\0" + BOOK.id_of(name).to_bytes(4, "big") + target.getvalue()


def changed(**fields: object) -> bytes:
    """An encoded event that says `fields` instead."""
    return CODEC.encode_event(msgspec.structs.replace(EVENT, **fields))


@given(events)
def test_an_event_is_written_as_fastavro_writes_it_and_read_back(event: NotificationRequested) -> None:
    value = CODEC.encode_event(event)
    assert value == by_fastavro(event)
    assert CODEC.decode_event(value) == (event, value[5:], json.loads(event.data))


@given(dispatches)
def test_a_dispatch_is_written_as_fastavro_writes_it_with_and_without_splicing(dispatch: Dispatch) -> None:
    value = CODEC.encode_dispatch(dispatch)
    assert value == by_fastavro(dispatch)
    assert value == CODEC.encode_dispatch(dispatch, CODEC.encode_event(dispatch.event)[5:])
    assert CODEC.decode_dispatch(value) == dispatch


@given(deferreds)
def test_a_deferred_record_is_written_as_fastavro_writes_it_with_and_without_splicing(deferred: Deferred) -> None:
    value = CODEC.encode_deferred(deferred)
    assert value == by_fastavro(deferred)
    assert value == CODEC.encode_deferred(deferred, CODEC.encode_event(deferred.event)[5:])
    assert CODEC.decode_deferred(value) == deferred


@given(decisions)
def test_a_decision_is_written_as_fastavro_writes_it_and_read_back(decision: Decision) -> None:
    value = CODEC.encode_decision(decision)
    assert value == by_fastavro(decision)
    assert CODEC.decode_decision(value) == decision


@given(statuses)
def test_a_status_is_written_as_fastavro_writes_it_and_read_back(status: DeliveryStatus) -> None:
    value = CODEC.encode_status(status)
    assert value == by_fastavro(status)
    assert CODEC.decode_status(value) == status


def test_words_come_back_as_members_of_their_vocabulary() -> None:
    event = CODEC.decode_event(CODEC.encode_event(EVENT)).event
    assert event.channels[0] is Channel.PUSH
    assert event.priority is Priority.HIGH
    assert event.kind is Kind.REQUEST


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "has no value"),
        (b"", "is empty"),
        (b"\0\0\0", "has 3 bytes, less than the 5"),
        (b"\7\0\0\0\1abc", "starts with byte 7"),
        (b'  {"event_id": "a"}', "looks like JSON, not Avro"),
        (CODEC.encode_event(EVENT)[:40], "the record ends here"),
        (CODEC.encode_event(EVENT)[:-1], "kind: the record ends here"),
        (CODEC.encode_event(EVENT) + b"\0\0", "2 bytes follow the end of the record"),
        (CODEC.encode_event(EVENT)[:5] + b"\x06\xff\xfe\xfd", "event_id: is not valid UTF-8"),
        (CODEC.encode_event(EVENT)[:5] + b"\x01", "event_id: declares a length of -1"),
        (CODEC.encode_event(EVENT)[:5] + b"\xff" * 12, "event_id: holds an integer of more than 64 bits"),
        (CODEC.encode_event(EVENT)[:-1] + b"\x08", "kind: holds 8, which is none of its values"),
        (changed(event_id=""), "event_id: is empty"),
        (changed(event_type=""), "event_type: is empty"),
        (changed(recipient_id=""), "recipient_id: is empty"),
        (changed(idempotency_key=""), "idempotency_key: is empty"),
        (changed(event_id="ü" * 256), "event_id: has more than 255 characters"),
        (changed(recipient_id="a\0b"), "recipient_id: contains a NUL character"),
        (changed(created_at=-1), "created_at: is -1, not between"),
        (changed(created_at=1_771_840_800_000_000), "created_at: is 1771840800000000, not between"),
        (changed(send_at=0), "send_at: is 0, not between"),
        (changed(channels=[Channel.PUSH] * 1025), "channels: has more than 1024 items"),
        (changed(data=""), "data: "),
        (changed(data="[1]"), "data: is not a JSON object"),
        (changed(data='{"a":NaN}'), "data: JSON is malformed"),
        (changed(data='{"a":' * 50_000), "data: is nested too deeply"),
        (changed(data='{"a":"%s"}' % ("x" * MAX_EVENT_BYTES)), "at most"),
        (b"\0\0\0\0\1" + b"\xfe" * 900_000, "at most"),
    ],
)
def test_what_is_wrong_with_a_record_is_said_precisely(value: bytes | None, text: str) -> None:
    with pytest.raises(MalformedRecord) as caught:
        CODEC.decode_event(value)
    assert text in str(caught.value)
    assert len(str(caught.value)) < 250


def test_255_characters_of_four_bytes_are_within_the_limit() -> None:
    assert CODEC.decode_event(changed(event_id="𝄞" * 255)).event.event_id == "𝄞" * 255


def test_a_channel_hinted_twice_counts_once() -> None:
    value = changed(channels=[Channel.SMS, Channel.PUSH, Channel.SMS])
    assert CODEC.decode_event(value).event.channels == [Channel.SMS, Channel.PUSH]


def test_an_unknown_schema_id_is_told_apart_so_that_the_registry_can_be_asked() -> None:
    value = b"\0\0\0\3\xe8" + CODEC.encode_event(EVENT)[5:]
    with pytest.raises(UnknownSchema) as caught:
        CODEC.decode_event(value)
    assert caught.value.schema_id == schema_id(value) == 1000


def test_a_record_of_another_type_is_refused_by_its_name() -> None:
    status = b"\0" + BOOK.id_of("DeliveryStatus").to_bytes(4, "big") + b"x"
    with pytest.raises(MalformedRecord, match="is a DeliveryStatus"):
        CODEC.decode_event(status)


def test_an_unknown_word_is_malformed() -> None:
    status = msgspec.convert(
        {
            **dict.fromkeys(DeliveryStatus.__struct_fields__, ""),
            "channel": "push",
            "priority": "low",
            "status": "sent",
            "reason": "accepted",
            "attempt": 1,
            "in_doubt": False,
            "occurred_at": 1,
            "created_at": 1,
        },
        DeliveryStatus,
    )
    value = CODEC.encode_status(status).replace(b"\x10accepted", b"\x10excepted")
    with pytest.raises(MalformedRecord, match="reason: holds the unknown word 'excepted'"):
        CODEC.decode_status(value)


def test_a_record_with_an_older_schema_is_read_and_its_body_is_in_the_current_one() -> None:
    current = dict(BOOK.schema_of("NotificationRequested"))
    older = {**current, "fields": [field for field in current["fields"] if field["name"] != "locale"]}
    codec = Codec.open(SchemaBook({name: BOOK.id_of(name) for name in RECORDS}, {**released(), 77: older}))
    written = by_older_writer(older, {k: v for k, v in msgspec.to_builtins(EVENT).items() if k != "locale"})
    decoded = codec.decode_event(b"\0\0\0\0\x4d" + written)
    assert decoded.event == EVENT
    assert decoded.body == CODEC.encode_event(EVENT)[5:]
    with pytest.raises(MalformedRecord, match="1 bytes follow"):
        codec.decode_event(b"\0\0\0\0\x4d" + written + b"x")


RECORDS = ("NotificationRequested", "Dispatch", "Deferred", "Decision", "DeliveryStatus")


def released() -> dict[int, Any]:
    return {BOOK.id_of(name): BOOK.schema_of(name) for name in RECORDS}


def by_older_writer(schema: dict[str, Any], record: dict[str, Any]) -> bytes:
    target = io.BytesIO()
    fastavro.schemaless_writer(target, fastavro.parse_schema(schema), record)
    return target.getvalue()


DECODERS: list[Callable[[bytes | None], object]] = [
    CODEC.decode_event,
    CODEC.decode_dispatch,
    CODEC.decode_deferred,
    CODEC.decode_decision,
    CODEC.decode_status,
]


def only_malformed(decode: Callable[[bytes | None], object], value: bytes) -> None:
    with contextlib.suppress(MalformedRecord):
        decode(value)


@given(st.sampled_from(DECODERS), st.integers(0, 6), st.binary(max_size=300))
def test_random_bytes_are_malformed_and_never_anything_else(
    decode: Callable[[bytes | None], object], number: int, body: bytes
) -> None:
    only_malformed(decode, body)
    only_malformed(decode, b"\0" + number.to_bytes(4, "big") + body)


@given(st.one_of(events.map(CODEC.encode_event), dispatches.map(CODEC.encode_dispatch)), st.data())
def test_a_record_with_some_bytes_changed_is_read_or_malformed_and_never_anything_else(
    value: bytes, data: st.DataObject
) -> None:
    mutated = bytearray(value)
    for position in data.draw(st.lists(st.integers(0, len(value) - 1), min_size=1, max_size=4)):
        mutated[position] = data.draw(st.integers(0, 255))
    for decode in (CODEC.decode_event, CODEC.decode_dispatch):
        only_malformed(decode, bytes(mutated))


@pytest.mark.parametrize("body", [b"\xfe\xff\xff\xff\xff\xff\xff\x7f", b"\x02a" * 3 + b"\xfe\xff\xff\xff\xff\x7f"])
def test_a_huge_declared_length_allocates_nothing(body: bytes) -> None:
    value = CODEC.encode_event(EVENT)[:5] + body
    tracemalloc.start()
    try:
        only_malformed(CODEC.decode_event, value)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
