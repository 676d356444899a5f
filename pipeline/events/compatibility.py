"""Whether records written with one schema can be read with another (Avro 1.12, "Schema Resolution"). Pure.

Two things are checked beyond Avro's rules, because a record that Avro can read may still mean something else or be
refused: a logical type must stay what it was, and the limits of a field must not become tighter.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipeline.events.releases import AvroSchema, expand

PROMOTIONS = {
    ("int", "long"),
    ("int", "float"),
    ("int", "double"),
    ("long", "float"),
    ("long", "double"),
    ("float", "double"),
    ("string", "bytes"),
    ("bytes", "string"),
}
"""(written, read) pairs of different primitive types that resolve."""


class Break(NamedTuple):
    """One place (dotted path of field names) where reading fails, and what to change."""

    at: str
    text: str


def full(new: AvroSchema, old: AvroSchema) -> list[Break]:
    """Every break in either direction: the new schema reading old records, old readers reading new records."""
    new, old = expand(new), expand(old)
    return list(dict.fromkeys([*_resolve(new, old, ""), *_resolve(old, new, ""), *_tightened(new, old, "")]))


def backward(reader: AvroSchema, writer: AvroSchema) -> list[Break]:
    """Every break when `reader` reads what `writer` wrote."""
    return list(_resolve(expand(reader), expand(writer), ""))


def _resolve(reader: Any, writer: Any, at: str) -> Iterator[Break]:
    if isinstance(writer, list):
        for branch in writer:
            yield from _resolve(reader, branch, at)
    elif isinstance(reader, list):
        if all(any(_resolve(branch, writer, at)) for branch in reader):
            yield Break(at, f"the union no longer holds {_kind(writer)}: keep that branch")
    elif _kind(reader) != _kind(writer):
        if (_kind(writer), _kind(reader)) not in PROMOTIONS:
            yield Break(at, f"{_kind(writer)} cannot be read as {_kind(reader)}: keep the type, add another field")
    elif _logical(reader) != _logical(writer):
        yield Break(at, f"the logical type differs ({_logical(writer)}, {_logical(reader)}): add another field instead")
    else:
        yield from _resolve_same_kind(reader, writer, at)


def _resolve_same_kind(reader: Any, writer: Any, at: str) -> Iterator[Break]:
    match _kind(reader):
        case "record":
            yield from _resolve_named(reader, writer, at)
            yield from _resolve_fields(reader, writer, at)
        case "enum":
            yield from _resolve_named(reader, writer, at)
            unknown = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
            if unknown and "default" not in reader:
                text = f"some readers do not know {', '.join(unknown)}: an enum without a default cannot change"
                yield Break(at, text)
        case "fixed":
            yield from _resolve_named(reader, writer, at)
            if reader["size"] != writer["size"]:
                yield Break(at, "the size of a fixed cannot change: add another field")
        case "array":
            yield from _resolve(reader["items"], writer["items"], at)
        case "map":
            yield from _resolve(reader["values"], writer["values"], at)


def _resolve_named(reader: AvroSchema, writer: AvroSchema, at: str) -> Iterator[Break]:
    known = {name.rpartition(".")[2] for name in (reader["name"], *reader.get("aliases", ()))}
    name = writer["name"].rpartition(".")[2]
    if name not in known:
        yield Break(at, f"{name} cannot be read as {reader['name']}: keep the name, or add an alias")


def _resolve_fields(reader: AvroSchema, writer: AvroSchema, at: str) -> Iterator[Break]:
    written = {field["name"]: field for field in writer["fields"]}
    for field in reader["fields"]:
        path = f"{at}.{field['name']}".lstrip(".")
        names = (field["name"], *field.get("aliases", ()))
        source = next((written[name] for name in names if name in written), None)
        if source is not None:
            yield from _resolve(field["type"], source["type"], path)
        elif "default" not in field:
            yield Break(path, "some writers do not have this field: give it a default, or leave it as it was")


def _tightened(new: Any, old: Any, at: str) -> Iterator[Break]:
    """Limits that records of `old` may not keep, in records that are fields of each other."""
    if not (_kind(new) == _kind(old) == "record"):
        return
    before = {field["name"]: field for field in old["fields"]}
    for field in new["fields"]:
        path = f"{at}.{field['name']}".lstrip(".")
        if earlier := before.get(field["name"]):
            yield from (Break(path, f"{limit} is tighter than it was: widen it") for limit in _tighter(field, earlier))
            yield from _tightened(field["type"], earlier["type"], path)


def _tighter(new: Mapping[str, Any], old: Mapping[str, Any]) -> Iterator[str]:
    for limit in ("minLength", "minimum"):
        if limit in new and new[limit] > old.get(limit, float("-inf") if limit == "minimum" else 0):
            yield limit
    for limit in ("maxLength", "maximum"):
        if limit in new and new[limit] < old.get(limit, float("inf")):
            yield limit


def _kind(schema: Any) -> str:
    match schema:
        case list():
            return "union"
        case {"type": kind}:
            return str(kind)
    return str(schema)


def _logical(schema: Any) -> str | None:
    return schema.get("logicalType") if isinstance(schema, Mapping) else None
