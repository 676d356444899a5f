from typing import Any

import pytest

from pipeline.events.compatibility import full


def record(*fields: dict[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "E", "symbols": list(symbols), **more}


TIME = {"type": "long", "logicalType": "timestamp-millis"}

SAME = [
    (record(field("a", "string")), record(field("a", "string", doc="new words"))),
    (record(field("a", "string")), record(field("a", "string"), field("b", "int", default=0))),
    (record(field("a", "string"), field("b", "int", default=0)), record(field("a", "string"))),
    (record(field("a", "string")), record(field("a", "bytes"))),
    (record(field("a", "string", maxLength=10)), record(field("a", "string", maxLength=20))),
    (record(field("a", enum("x", default="x"))), record(field("a", enum("x", "y", default="x")))),
    (record(field("a", {"type": "array", "items": "int"})), record(field("a", {"type": "array", "items": "int"}))),
    (record(field("a", "int")), record(field("z", "int", aliases=["a"], default=0), field("a", "int", default=0))),
]

BROKEN = [
    (record(field("a", "string")), record(field("a", "string"), field("b", "int")), "b", "give it a default"),
    (record(field("a", "string"), field("b", "int")), record(field("a", "string")), "b", "leave it as it was"),
    (record(field("a", "string")), record(field("a", "int")), "a", "keep the type"),
    (record(field("a", "int")), record(field("a", "long")), "a", "long cannot be read as int"),
    (record(field("a", "string")), record(field("a", ["null", "string"])), "a", "null cannot be read as string"),
    (record(field("a", ["null", "string"])), record(field("a", ["null", "int"])), "a", "keep that branch"),
    (record(field("a", enum("x"))), record(field("a", enum("x", "y"))), "a", "y: an enum without a default"),
    (record(field("a", TIME)), record(field("a", "long")), "a", "logical type"),
    (record(field("a", TIME)), record(field("a", {**TIME, "logicalType": "timestamp-micros"})), "a", "logical type"),
    (record(field("a", "string", maxLength=20)), record(field("a", "string", maxLength=10)), "a", "maxLength"),
    (record(field("a", "string")), record(field("a", "string", minLength=1)), "a", "minLength"),
    (record(field("a", "long", minimum=0)), record(field("a", "long", minimum=5)), "a", "minimum"),
    (record(field("a", "string")), record(field("a", "string"), name="S"), "", "keep the name"),
    (
        record(field("a", {"type": "array", "items": "int"})),
        record(field("a", {"type": "array", "items": "string"})),
        "a",
        "keep the type",
    ),
    (
        record(field("a", {"type": "map", "values": "int"})),
        record(field("a", {"type": "map", "values": "string"})),
        "a",
        "keep the type",
    ),
    (
        record(field("a", {"type": "fixed", "name": "F", "size": 2})),
        record(field("a", {"type": "fixed", "name": "F", "size": 3})),
        "a",
        "size of a fixed",
    ),
    (
        record(field("a", record(field("b", "int"), name="I"))),
        record(field("a", record(field("b", "int", minimum=1), field("c", "int"), name="I"))),
        "a.c",
        "give it a default",
    ),
]


@pytest.mark.parametrize(("old", "new"), SAME)
def test_a_change_that_both_sides_can_read_is_no_break(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert full(new, old) == []


@pytest.mark.parametrize(("old", "new", "at", "text"), BROKEN)
def test_a_change_that_one_side_cannot_read_is_told_with_its_place(
    old: dict[str, Any], new: dict[str, Any], at: str, text: str
) -> None:
    found = full(new, old)
    assert at in [place for place, _ in found]
    assert any(text in what for _, what in found), found
