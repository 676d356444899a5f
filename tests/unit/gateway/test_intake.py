"""From JSON to an event: fingerprints, what is filled in, CloudEvents."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.catalogue.loader import load_catalogue
from pipeline.config import RouterSettings
from pipeline.events.canonical import CanonicalJson, InvalidEvent
from pipeline.events.schemas import SchemaBook
from pipeline.gateway.events.cloudevents import to_canonical
from pipeline.gateway.events.intake import Intake

CATALOGUE = load_catalogue(Path(__file__).parents[3] / "examples" / "catalogue.yaml")
CANONICAL = CanonicalJson(SchemaBook.from_lock().schema_of("NotificationRequested"))
INTAKE = Intake(CANONICAL, CATALOGUE, RouterSettings(), lambda: 1_700_000_000_000, lambda: "new")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


def event(**fields: Any) -> dict[str, Any]:
    return {
        "event_type": "service.note",
        "recipient_id": "alice",
        "idempotency_key": "k",
        "data": {},
        **fields,
    }


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_the_order_of_keys_is_no_part_of_the_body_and_what_they_say_is(data: dict[str, Any]) -> None:
    once = INTAKE.read(event(data=data))
    turned = INTAKE.read(dict(reversed(event(data=dict(reversed(data.items()))).items())))
    assert once.fingerprint == turned.fingerprint
    assert INTAKE.read(event(data={**data, "one more": 1})).fingerprint != once.fingerprint
    assert json.loads(once.event.data) == data


@pytest.mark.parametrize(
    "change",
    [
        {"priority": "high"},
        {"channels": ["push"]},
        {"send_at": "2030-01-01T00:00:00Z"},
        {"template": "other"},
        {"source": "elsewhere"},
        {"data": {"a": 1}},
        {"kind": "cancel"},
    ],
)
def test_every_field_that_says_what_is_asked_for_is_part_of_the_body(change: dict[str, Any]) -> None:
    assert INTAKE.read(event(**change)).fingerprint != INTAKE.read(event()).fingerprint


def test_id_and_time_name_the_try_and_are_no_part_of_the_body() -> None:
    retried = event(event_id="e2", created_at="2026-01-01T00:00:00Z")
    assert INTAKE.read(retried).fingerprint == INTAKE.read(event(event_id="e1")).fingerprint


def test_an_event_without_a_key_has_its_id_for_one() -> None:
    document = event(event_id="e1")
    del document["idempotency_key"]
    assert INTAKE.read(document).event.idempotency_key == "e1"
    del document["event_id"]
    assert INTAKE.read(document).event.idempotency_key == "new"


def test_a_broken_traceparent_is_left_out() -> None:
    good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert INTAKE.read(event(), traceparent=good).traceparent == good
    for broken in ("", "x", good.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32)):
        assert INTAKE.read(event(), traceparent=broken).traceparent == ""


@given(st.dictionaries(st.sampled_from(["specversion", "id", "source", "type", "subject", "data", "time"]), JSON))
def test_whatever_a_cloud_event_holds_it_is_read_or_refused_in_words(document: dict[str, Any]) -> None:
    try:
        INTAKE.read({"specversion": "1.0", **document})
    except InvalidEvent as error:
        told = error.problems
    else:
        return
    assert told


def test_two_sources_may_use_one_id() -> None:
    one = {"specversion": "1.0", "id": "1", "source": "/a", "type": "t", "subject": "alice"}
    keys = [to_canonical({**one, "source": source}).document["idempotency_key"] for source in ("/a", "/b")]
    assert len(set(keys)) == 2
