"""From a JSON document to an event that the router will not refuse. Pure: time and ids are passed in."""

import hashlib
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import jsonschema_rs
import msgspec
from jsonschema_rs import ValidationErrorKind

from pipeline.catalogue.model import Catalogue
from pipeline.catalogue.schemas import pointer
from pipeline.config import RouterSettings
from pipeline.events.canonical import CanonicalJson, InvalidEvent, Problem
from pipeline.events.json_schema import JsonSchema
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Kind
from pipeline.gateway.events.cloudevents import in_cloud_terms, is_cloud_event, to_canonical
from pipeline.kafka.tracing import trace_id

FINGERPRINT_BYTES = 16
GENERATED = ("event_id", "created_at", "idempotency_key")
"""Fields that the gateway fills in where they are missing."""

_MOST_VIOLATIONS = 10

_dump_sorted = json.JSONEncoder(sort_keys=True).encode


class Submission(NamedTuple):
    """An event to accept. `fingerprint` is equal for equal bodies; `traceparent` is valid or empty."""

    event: NotificationRequested
    fingerprint: bytes
    traceparent: str


class Intake:
    """Reads documents. `now` is ms since the epoch, `new_id` a new id each time."""

    def __init__(
        self,
        canonical: CanonicalJson,
        catalogue: Catalogue,
        settings: RouterSettings,
        now: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._canonical = canonical
        self._catalogue = catalogue
        self._refuse_unknown = settings.unknown_types == "dead_letter"
        self._now = now
        self._new_id = new_id

    def schema(self) -> JsonSchema:
        """The JSON Schema of what is taken: the canonical event's, but for what may be left out."""
        schema = {key: value for key, value in self._canonical.json_schema.items() if key != "$schema"}
        return {**schema, "required": [name for name in schema["required"] if name not in GENERATED]}

    def read(self, document: object, *, source: str = "", key: str | None = None, traceparent: str = "") -> Submission:
        """The event of one document: canonical, or a CloudEvent.

        `source` counts where the event names none, `key` (an ``Idempotency-Key`` header) likewise.

        Raises:
            InvalidEvent: it is not canonical, or the catalogue refuses it; each problem with its pointer.
        """
        if isinstance(document, dict) and is_cloud_event(document):
            translated = to_canonical(document)
            try:
                return self._read(translated.document, source, key, translated.traceparent or traceparent)
            except InvalidEvent as error:
                raise InvalidEvent([in_cloud_terms(problem) for problem in error.problems]) from None
        return self._read(document, source, key, traceparent)

    def _read(self, document: object, source: str, key: str | None, traceparent: str) -> Submission:
        if not isinstance(document, dict):
            raise InvalidEvent([Problem("", "is not a JSON object")])
        created_at = None if "created_at" in document else self._now()
        event = self._canonical.from_document(self._filled(document, source, key), created_at=created_at)
        data = document["data"]
        if event.kind is Kind.REQUEST:
            self._check(event, data)
        return Submission(event, _fingerprint(event, data), traceparent if trace_id(traceparent.encode()) else "")

    def _filled(self, document: dict[str, Any], source: str, key: str | None) -> dict[str, Any]:
        """What is missing, filled in: an event without a key is its own, so that its id keeps a retry from doubling it."""
        filled = dict(document)
        if key is not None and filled.setdefault("idempotency_key", key) != key:
            raise InvalidEvent([Problem("/idempotency_key", "differs from the Idempotency-Key header")])
        if "event_id" not in filled:
            filled["event_id"] = self._new_id()
        filled.setdefault("idempotency_key", filled["event_id"])
        if source and not filled.get("source"):
            filled["source"] = source
        return filled

    def _check(self, event: NotificationRequested, data: dict[str, Any]) -> None:
        """What the router would refuse later is refused here."""
        listed = self._catalogue.find(event.event_type)
        if listed is None and self._refuse_unknown:
            raise InvalidEvent([Problem("/event_type", "is not in the event catalogue")])
        schema = (listed or self._catalogue.default(event.event_type)).entry.schema
        if schema is None or schema.is_valid(data):
            return
        raise InvalidEvent([_violation(error) for error in schema.iter_errors(data)][:_MOST_VIOLATIONS])


def _violation(error: jsonschema_rs.ValidationError) -> Problem:
    """What is missing is told where it should be, as for the event's own fields. The validator masks values."""
    match error.kind:
        case ValidationErrorKind.Required(property=name):
            return Problem(f"/data{pointer([*error.instance_path, name])}", "is missing")
    return Problem(f"/data{pointer(error.instance_path)}", error.message)


def _fingerprint(event: NotificationRequested, data: dict[str, Any]) -> bytes:
    """Of everything but id and time: these name the try, not what is asked for. The order of keys says nothing."""
    said = msgspec.structs.replace(event, event_id="", created_at=0, data="")
    text = _dump_sorted(data)
    return hashlib.blake2b(msgspec.msgpack.encode(said) + text.encode(), digest_size=FINGERPRINT_BYTES).digest()
