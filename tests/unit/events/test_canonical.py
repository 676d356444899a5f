import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events.canonical import MAX_DATA_BYTES, CanonicalJson, InvalidEvent, format_time
from pipeline.events.codec import Codec
from pipeline.events.schemas import SchemaBook
from pipeline.events.vocabulary import Channel, Kind, Priority

BOOK = SchemaBook.from_lock()
CODEC = Codec.open(BOOK)
CANONICAL = CanonicalJson(BOOK.schema_of("NotificationRequested"))

SEED: dict[str, Any] = {
    "event_id": "evt_abc123",
    "event_type": "order.shipped",
    "recipient_id": "user_789",
    "channels": ["push", "email", "in_app"],
    "priority": "high",
    "data": {"order_id": "ORD-456", "tracking_url": "https://example.com/track/ORD-456"},
    "idempotency_key": "order_shipped_ORD-456",
    "created_at": "2026-02-23T10:00:00Z",
}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=35)
numbers = st.integers() | st.integers(-(10**400), 10**400) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
)
times = st.integers(946_684_800_000, 7_258_118_400_000).map(format_time)
documents = st.fixed_dictionaries(
    {
        "event_id": names,
        "event_type": names,
        "recipient_id": names,
        "data": st.dictionaries(texts, values, max_size=4),
        "idempotency_key": names,
        "created_at": times,
    },
    optional={
        "channels": st.lists(st.sampled_from([str(c) for c in Channel]), min_size=1, unique=True),
        "priority": st.sampled_from([str(p) for p in Priority]),
        "source": names,
        "send_at": times,
        "expires_at": times,
        "collapse_key": names,
        "locale": names,
        "template": names,
        "kind": st.just("cancel"),
    },
)


def problems(**changes: object) -> list[tuple[str, str]]:
    """What is wrong with the seed's event after `changes`; `...` takes a field away."""
    document = {name: value for name, value in {**SEED, **changes}.items() if value is not ...}
    with pytest.raises(InvalidEvent) as caught:
        CANONICAL.from_document(document)
    return [(problem.pointer, problem.text) for problem in caught.value.problems]


def test_the_canonical_event_of_the_design_is_taken_as_it_stands() -> None:
    event = CANONICAL.parse(json.dumps(SEED))
    assert event.channels == [Channel.PUSH, Channel.EMAIL, Channel.IN_APP]
    assert event.priority is Priority.HIGH
    assert event.created_at == 1_771_840_800_000
    assert event.kind is Kind.REQUEST
    assert CANONICAL.to_document(event) == SEED


@given(documents)
def test_json_to_avro_and_back_loses_nothing(document: dict[str, Any]) -> None:
    value = CODEC.encode_event(CANONICAL.parse(json.dumps(document, ensure_ascii=False)))
    back = CANONICAL.to_document(CODEC.decode_event(value).event)
    assert back == document
    assert json.dumps(back["data"]) == json.dumps(document["data"])


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-02-23T12:00:00+02:00", "2026-02-23T10:00:00Z"),
        ("2026-02-23t05:30:00.250-04:30", "2026-02-23T10:00:00.250Z"),
        ("2026-02-23T10:00:00.123999z", "2026-02-23T10:00:00.123Z"),
    ],
)
def test_times_with_any_offset_become_utc_milliseconds(text: str, utc: str) -> None:
    event = CANONICAL.from_document({**SEED, "created_at": text})
    assert CANONICAL.to_document(event)["created_at"] == utc


@pytest.mark.parametrize(
    ("changes", "pointer", "text"),
    [
        ({"event_id": ...}, "/event_id", "is missing"),
        ({"event_id": ""}, "/event_id", "is empty"),
        ({"recipient_id": "x" * 256}, "/recipient_id", "has more than 255 characters"),
        ({"recipient_id": "a\0b"}, "/recipient_id", "contains a NUL character"),
        ({"event_type": 7}, "/event_type", "is not of type string"),
        ({"channels": ["push", "fax"]}, "/channels/1", "is none of push, email, sms, in_app"),
        ({"channels": "push"}, "/channels", "is not of type array"),
        ({"priority": "urgent"}, "/priority", "is none of critical, high, normal, low, null"),
        ({"data": ...}, "/data", "is missing"),
        ({"data": "text"}, "/data", "is not of type object"),
        ({"data": {"a": float("inf")}}, "/data", "Out of range float values are not JSON compliant"),
        ({"data": {"a": "\ud800"}}, "/data", "contains half of a surrogate pair, which is not Unicode text"),
        ({"event_id": "\ud800"}, "", "contains half of a surrogate pair, which is not Unicode text"),
        ({"data": {"a": "x" * MAX_DATA_BYTES}}, "/data", f"has {MAX_DATA_BYTES + 8} bytes as JSON, at most"),
        ({"created_at": 1771840800000}, "/created_at", "is not of type string"),
        ({"created_at": "2026-02-23T10:00:00"}, "/created_at", "is not RFC 3339 with an offset"),
        ({"created_at": "2026-02-23"}, "/created_at", "is not RFC 3339 with an offset"),
        ({"created_at": "2026-02-30T10:00:00Z"}, "/created_at", "is no time: day is out of range for month"),
        ({"send_at": "1970-01-01T00:00:00Z"}, "/send_at", "is not between 2000-01-01T00:00:00Z and 2200"),
        ({"chanels": []}, "/chanels", "is no field of an event"),
        ({"a/b~": 1}, "/a~1b~0", "is no field of an event"),
    ],
)
def test_a_bad_field_is_told_by_pointer_and_what_to_change(changes: dict[str, object], pointer: str, text: str) -> None:
    found = problems(**changes)
    assert [at for at, _ in found] == [pointer]
    assert text in found[0][1]


def test_every_problem_is_told_at_once() -> None:
    assert {pointer for pointer, _ in problems(event_id="", priority="?", extra=1)} == {
        "/event_id",
        "/priority",
        "/extra",
    }


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"data": {"a": 1e999}}', b"\xff", "[" * 100_000])
def test_what_is_no_json_object_is_an_invalid_event(text: str | bytes) -> None:
    with pytest.raises(InvalidEvent):
        CANONICAL.parse(text)


def test_data_nested_beyond_reason_is_refused() -> None:
    data: dict[str, object] = {}
    for _ in range(50_000):
        data = {"a": data}
    assert problems(data=data) == [("/data", "is nested too deeply")]


def test_a_channel_hinted_twice_counts_once() -> None:
    event = CANONICAL.from_document({**SEED, "channels": ["sms", "push", "sms"]})
    assert event.channels == [Channel.SMS, Channel.PUSH]


def test_the_json_schema_stands_on_its_own_and_has_the_limits_of_the_avro_schema() -> None:
    schema = CANONICAL.json_schema
    jsonschema_rs.meta.validate(schema)
    assert schema["required"] == ["event_id", "event_type", "recipient_id", "data", "idempotency_key", "created_at"]
    for field in BOOK.schema_of("NotificationRequested")["fields"]:
        told = schema["properties"][field["name"]]
        assert told["description"] == field["doc"]
        assert told.get("maxLength") == field.get("maxLength")
        assert told.get("minLength") == field.get("minLength")
