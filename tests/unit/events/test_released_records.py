"""What the last release wrote, and every one before it, is read by this code, and means what it meant."""

from typing import Any

import msgspec
import pytest

from pipeline.accounts.facts import event_of_decision
from pipeline.events.codec import Codec, schema_id
from pipeline.store.rows import event_row
from tests.recorded import Recorded, decoders, recorded

ALL = list(recorded())
CODEC = Codec.open()


@pytest.mark.parametrize("record", ALL, ids=lambda r: f"{r.name}/{r.release.version}")
def test_a_record_of_every_release_is_kept(record: Recorded) -> None:
    assert record.path.is_file(), "run: python -m tests.recorded"
    assert schema_id(record.value) == record.release.id


@pytest.mark.parametrize("record", ALL, ids=lambda r: f"{r.name}/{r.release.version}")
def test_a_record_of_every_release_says_what_it_said(record: Recorded) -> None:
    """New fields have their defaults, so what it said then is a part of what is read now."""
    now = msgspec.to_builtins(decoders(CODEC)[record.name](record.value))
    assert _part_of(record.said, now), now


def _part_of(then: Any, now: Any) -> bool:
    if isinstance(then, dict):
        return isinstance(now, dict) and all(name in now and _part_of(value, now[name]) for name, value in then.items())
    if isinstance(then, list):
        return len(then) == len(now) and all(map(_part_of, then, now))
    return bool(then == now)


def test_a_difference_would_be_noticed() -> None:
    assert _part_of({"a": [{"b": 1}]}, {"a": [{"b": 1, "new": 2}], "c": 3})
    others: tuple[dict[str, Any], ...] = ({"a": [{"b": 2}]}, {"a": []}, {}, {"a": [{}]})
    for now in others:
        assert not _part_of({"a": [{"b": 1}]}, now)


def test_the_accounts_and_the_history_take_what_every_release_wrote() -> None:
    for record in ALL:
        if record.name == "Decision":
            assert event_of_decision(CODEC.decode_decision(record.value))
        if record.name == "DeliveryStatus":
            assert event_row(CODEC.decode_status(record.value))
