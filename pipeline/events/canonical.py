"""Canonical JSON of an event, as the gateway and ``pipeline produce`` take it, and back.

Fields, types and limits come from the Avro schema alone (`json_schema` is made from it). Two things look different in
JSON: `data` is an object and not its text, and times are RFC 3339: any offset is taken, digits past the millisecond
are cut off, UTC is given back.

Values in `data` survive the way there and back: integers of any size, floats as the doubles that they are (`1.50`
comes back as `1.5`; what no double can hold, as `1e400`, is refused), any Unicode text. An object's repeated key keeps
its last value.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import jsonschema_rs
import msgspec
from jsonschema_rs import ValidationErrorKind as Kind

from pipeline.errors import PipelineError
from pipeline.events.codec import MAX_EVENT_BYTES, parse_data
from pipeline.events.json_schema import event_schema
from pipeline.events.records import NotificationRequested
from pipeline.events.releases import AvroSchema

MAX_DATA_BYTES = MAX_EVENT_BYTES - 16 * 1024
"""Longest `data`: with every other field at its limit the event is still within `MAX_EVENT_BYTES`."""

_dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
"""Made once: `json.dumps` makes an encoder for each call."""

_FILLED_IN = "1970-01-01T00:00:00Z"
"""Stands where a time is filled in, while the rest is checked."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Problem(NamedTuple):
    """One thing that is wrong: where (RFC 6901 JSON pointer; "" is the whole event), and what to change."""

    pointer: str
    text: str


class InvalidEvent(PipelineError):
    """A JSON event is not canonical; `problems` says where and why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{problem.pointer or 'the event'}: {problem.text}" for problem in problems))
        self.problems = problems


class CanonicalJson:
    """Translates events from and to canonical JSON, by the rules of one Avro schema. Use one a process."""

    def __init__(self, schema: AvroSchema) -> None:
        """`schema`: of `NotificationRequested` (`SchemaBook.schema_of`)."""
        self.json_schema = event_schema(schema)
        self._validator = jsonschema_rs.Draft202012Validator(self.json_schema)
        self._fields: dict[str, AvroSchema] = {field["name"]: field for field in schema["fields"]}
        self._defaults = {name: field["default"] for name, field in self._fields.items() if "default" in field}
        self._times = [name for name, field in self._fields.items() if "minimum" in field]
        self._asked_times = [name for name in self._times if name != "created_at"]

    def parse(self, text: bytes | str) -> NotificationRequested:
        """The event of one JSON text.

        Raises:
            InvalidEvent: it is not JSON, or not canonical.
        """
        try:
            document = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidEvent([Problem("", f"is not JSON: {error}")]) from None
        except RecursionError:
            raise InvalidEvent([Problem("", "is nested too deeply")]) from None
        return self.from_document(document)

    def from_document(self, document: object, *, created_at: int | None = None) -> NotificationRequested:
        """The event of a JSON document that is parsed already. `created_at` (ms): of one that does not say.

        Raises:
            InvalidEvent: it is not canonical.
        """
        if not isinstance(document, dict):
            raise InvalidEvent([Problem("", "is not a JSON object")])
        if created_at is not None:
            document = {**document, "created_at": _FILLED_IN}
        data = document.get("data")
        if problems := list(self._problems(document if not isinstance(data, dict) else {**document, "data": {}})):
            raise InvalidEvent(problems)
        values = {**self._defaults, **document, "data": _data_text(document["data"])}
        for name in self._times if created_at is None else self._asked_times:
            if values[name] is not None:
                values[name] = self._milliseconds(name, values[name])
        if created_at is not None:
            values["created_at"] = created_at
        values["channels"] = list(dict.fromkeys(values["channels"]))
        return msgspec.convert(values, NotificationRequested)

    def to_document(self, event: NotificationRequested) -> dict[str, Any]:
        """The canonical JSON document; optional fields that say no more than their default are left out.

        Raises:
            MalformedRecord: `data` is no JSON object.
        """
        values: dict[str, Any] = msgspec.to_builtins(event)
        values["data"] = parse_data(event.data)
        for name in self._times:
            if values[name] is not None:
                values[name] = format_time(values[name])
        return {
            name: value for name, value in values.items() if name not in self._defaults or value != self._defaults[name]
        }

    def _problems(self, document: Mapping[str, object]) -> Iterator[Problem]:
        try:
            if self._validator.is_valid(document):
                return
            for error in self._validator.iter_errors(document):
                yield from _explain(error)
        except UnicodeEncodeError:
            yield Problem("", "contains half of a surrogate pair, which is not Unicode text")

    def _milliseconds(self, name: str, text: str) -> int:
        """A time as milliseconds since the epoch, within the field's limits."""
        at = f"/{name}"
        if not _RFC_3339.fullmatch(text):
            raise InvalidEvent([Problem(at, "is not RFC 3339 with an offset: write it like 2026-02-23T10:00:00Z")])
        try:
            value = (datetime.fromisoformat(text.upper()) - _EPOCH) // _MILLISECOND
        except ValueError as error:
            raise InvalidEvent([Problem(at, f"is no time: {error}")]) from None
        field = self._fields[name]
        if not field["minimum"] <= value <= field["maximum"]:
            low, high = format_time(field["minimum"]), format_time(field["maximum"])
            raise InvalidEvent([Problem(at, f"is not between {low} and {high}")])
        return value


def format_time(milliseconds: int) -> str:
    """RFC 3339 in UTC; milliseconds only where there are any."""
    time = _EPOCH + milliseconds * _MILLISECOND
    return time.isoformat(timespec="milliseconds" if milliseconds % 1000 else "seconds").replace("+00:00", "Z")


def _data_text(data: object) -> str:
    try:
        text = _dump(data)
        size = len(text.encode())
    except RecursionError:
        raise InvalidEvent([Problem("/data", "is nested too deeply")]) from None
    except UnicodeEncodeError:
        raise InvalidEvent([Problem("/data", "contains half of a surrogate pair, which is not Unicode text")]) from None
    except ValueError as error:
        raise InvalidEvent([Problem("/data", str(error))]) from None
    if size > MAX_DATA_BYTES:
        raise InvalidEvent([Problem("/data", f"has {size} bytes as JSON, at most {MAX_DATA_BYTES} are allowed")])
    return text


def _explain(error: jsonschema_rs.ValidationError) -> Iterator[Problem]:
    """Missing and unknown fields are told where they should or should not be; values are never quoted."""
    pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in error.instance_path)
    match error.kind:
        case Kind.Required(property=name):
            yield Problem(f"{pointer}/{name}", "is missing")
        case Kind.AdditionalProperties(unexpected=names):
            for name in names:
                escaped = name.replace("~", "~0").replace("/", "~1")
                yield Problem(f"{pointer}/{escaped}", "is no field of an event: put it into data, or leave it out")
        case Kind.Enum(options=options):
            words = ("null" if word is None else str(word) for word in options)
            yield Problem(pointer, f"is none of {', '.join(words)}")
        case Kind.Pattern():
            yield Problem(pointer, "contains a NUL character")
        case Kind.MinLength():
            yield Problem(pointer, "is empty")
        case Kind.MaxLength(limit=limit):
            yield Problem(pointer, f"has more than {limit} characters")
        case Kind.MaxItems(limit=limit):
            yield Problem(pointer, f"has more than {limit} items")
        case Kind.Type(types=types):
            yield Problem(pointer, f"is not of type {' or '.join(types)}")
        case _:
            yield Problem(pointer, error.message)
