"""The records as they are in Kafka: Avro in the registry's wire format (a zero byte, the schema id, the body).

Time of a typical record (135–400 bytes, one core; fastavro in brackets): an event 5 µs to read with its data (12), a
dispatch 2 µs to write around the event's own bytes (25), a status 4 µs (10), a decision of three channels 5 µs (20).
"""

import io
from typing import Any, Generic, NamedTuple, Self

import fastavro
import msgspec
from fastavro.types import Schema

from pipeline.errors import MalformedRecord, UnknownSchema
from pipeline.events.compiled import RecordT
from pipeline.events.reader import compile_reader
from pipeline.events.records import Decision, Deferred, DeliveryStatus, Dispatch, NotificationRequested
from pipeline.events.releases import AvroSchema
from pipeline.events.schemas import SchemaBook
from pipeline.events.writer import compile_writer

HEADER_SIZE = 5
MAX_EVENT_BYTES = 768 * 1024
"""Longest Avro body of an event: with everything that is added on the way it stays below Kafka's customary 1 MiB."""

Json = dict[str, object]
_json_object = msgspec.json.Decoder(Json)


class DecodedEvent(NamedTuple):
    """An event, its Avro body in the current schema (to splice into other records), and its `data` parsed."""

    event: NotificationRequested
    body: bytes
    data: Json


class Codec:
    """Reads and writes every record of the pipeline. Holds no state but compiled schemas; use one a process.

    What is read may have been written with any schema that the book knows; what is written is in the current one. All
    ``decode_…`` raise `MalformedRecord`, and nothing else, whatever the bytes are, and its subclass `UnknownSchema`
    for an id that is not in the book (then `SchemaBook.learn` the `schema_id` and try again).
    """

    def __init__(self, book: SchemaBook) -> None:
        self.book = book
        self._event = _RecordCodec(book, NotificationRequested)
        self._dispatch = _RecordCodec(book, Dispatch, splice="event")
        self._deferred = _RecordCodec(book, Deferred, splice="event")
        self._decision = _RecordCodec(book, Decision)
        self._status = _RecordCodec(book, DeliveryStatus)

    @classmethod
    def open(cls, book: SchemaBook | None = None) -> Self:
        """A codec for `book`; default: the lock file's."""
        return cls(book or SchemaBook.from_lock())

    def decode_event(self, value: bytes | None) -> DecodedEvent:
        """Read an ingest record, and check what every later step relies on: limits of the schema, data an object."""
        if value and len(value) > MAX_EVENT_BYTES + HEADER_SIZE:
            raise MalformedRecord(f"has {len(value)} bytes, at most {MAX_EVENT_BYTES + HEADER_SIZE} are allowed")
        event, body = self._event.decode(value)
        if len(event.channels) > 1:
            event = _without_repeats(event)
        return DecodedEvent(event, body, parse_data(event.data))

    def encode_event(self, event: NotificationRequested) -> bytes:
        return self._event.encode(event)

    def decode_dispatch(self, value: bytes | None) -> Dispatch:
        return self._dispatch.decode(value)[0]

    def encode_dispatch(self, dispatch: Dispatch, body: bytes | None = None) -> bytes:
        """`body` is the event's, as `decode_event` gave it; without it `dispatch.event` is encoded."""
        return self._dispatch.encode_around(dispatch, self._event.write(dispatch.event) if body is None else body)

    def decode_deferred(self, value: bytes | None) -> Deferred:
        return self._deferred.decode(value)[0]

    def encode_deferred(self, deferred: Deferred, body: bytes | None = None) -> bytes:
        """`body` as for `encode_dispatch`."""
        return self._deferred.encode_around(deferred, self._event.write(deferred.event) if body is None else body)

    def decode_decision(self, value: bytes | None) -> Decision:
        return self._decision.decode(value)[0]

    def encode_decision(self, decision: Decision) -> bytes:
        return self._decision.encode(decision)

    def decode_status(self, value: bytes | None) -> DeliveryStatus:
        return self._status.decode(value)[0]

    def encode_status(self, status: DeliveryStatus) -> bytes:
        return self._status.encode(status)


def parse_data(data: str) -> Json:
    """The `data` of an event as an object.

    Raises:
        MalformedRecord: it is no JSON object.
    """
    try:
        return _json_object.decode(data)
    except msgspec.ValidationError as error:
        raise MalformedRecord(f"data: is not a JSON object: {error}") from None
    except msgspec.DecodeError as error:
        raise MalformedRecord(f"data: {error}") from None
    except RecursionError:
        raise MalformedRecord("data: is nested too deeply") from None


def schema_id(value: bytes) -> int | None:
    """The schema id that a record names, or None when it has no registry header."""
    if len(value) < HEADER_SIZE or value[0] != 0:
        return None
    return int.from_bytes(value[1:HEADER_SIZE], "big")


class _RecordCodec(Generic[RecordT]):
    """One record type: its current schema compiled, and older ones translated by fastavro."""

    def __init__(self, book: SchemaBook, struct: type[RecordT], splice: str | None = None) -> None:
        self._book = book
        self._name = struct.__name__
        schema = book.schema_of(self._name)
        self._header = b"\0" + book.id_of(self._name).to_bytes(4, "big")
        self._read = compile_reader(schema, struct)
        self._write_head = compile_writer(schema, struct, leave_out=splice)
        self.write = compile_writer(schema, struct)
        self._parsed = _parse(schema)
        self._writers: dict[int, Schema] = {}

    def encode(self, record: RecordT) -> bytes:
        return self._header + self.write(record)

    def encode_around(self, record: RecordT, body: bytes) -> bytes:
        return self._header + self._write_head(record) + body

    def decode(self, value: bytes | None) -> tuple[RecordT, bytes]:
        """The record and its body in the current schema."""
        body = self._translate(value) if not value or value[:HEADER_SIZE] != self._header else value[HEADER_SIZE:]
        return self._read(body), body

    def _translate(self, value: bytes | None) -> bytes:
        """The body of a record of another schema, in the current schema."""
        if not value:
            raise MalformedRecord("has no value" if value is None else "is empty")
        written_with = schema_id(value)
        if written_with is None:
            raise MalformedRecord(_no_header(value))
        schema = self._schema(written_with)
        source, target = io.BytesIO(value[HEADER_SIZE:]), io.BytesIO()
        try:
            writer = self._writers.get(written_with) or self._writers.setdefault(written_with, _parse(schema))
            record = fastavro.schemaless_reader(source, writer, self._parsed)
            fastavro.schemaless_writer(target, self._parsed, record)
        except Exception as error:  # noqa: BLE001 - fastavro raises whatever the bytes make it stumble over
            text = f"cannot be read with schema {written_with}: {type(error).__name__}"
            raise MalformedRecord(text) from None
        if left := len(source.read()):
            raise MalformedRecord(f"{left} bytes follow the end of the record")
        return target.getvalue()

    def _schema(self, written_with: int) -> AvroSchema:
        schema = self._book.schema(written_with)
        if schema is None:
            raise UnknownSchema(written_with)
        name = str(schema.get("name")).rpartition(".")[2]
        if name != self._name:
            raise MalformedRecord(f"is a {name} (schema id {written_with}), not a {self._name}")
        return schema


def _parse(schema: AvroSchema) -> Schema:
    """For fastavro, without logical types: times stay integers."""
    return fastavro.parse_schema(_plain(dict(schema)))


def _plain(node: Any) -> Any:
    match node:
        case dict():
            return {key: _plain(value) for key, value in node.items() if key != "logicalType"}
        case list():
            return [_plain(item) for item in node]
        case _:
            return node


def _no_header(value: bytes) -> str:
    if value.lstrip()[:1] in (b"{", b"["):
        return (
            "looks like JSON, not Avro: produce with the schema of the topic's subject and a registry serializer, "
            "or send JSON through `pipeline produce` or the gateway"
        )
    if len(value) < HEADER_SIZE:
        return f"has {len(value)} bytes, less than the {HEADER_SIZE} of the schema registry header"
    return f"starts with byte {value[0]}, not with the schema registry's 0: produce with a registry serializer"


def _without_repeats(event: NotificationRequested) -> NotificationRequested:
    """A channel hinted twice counts once."""
    channels = list(dict.fromkeys(event.channels))
    return event if len(channels) == len(event.channels) else msgspec.structs.replace(event, channels=channels)
