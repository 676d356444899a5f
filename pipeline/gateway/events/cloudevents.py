"""CloudEvents 1.0 in JSON, structured or batch, as canonical events. Pure.

The context attributes say what the canonical fields say, and extension attributes the rest (they are lower case by the
specification): `recipientid` (or else `subject`), `idempotencykey`, `channels` (comma-separated), `priority`,
`sendat`, `expiresat`, `collapsekey`, `locale`, `template`. Unknown extensions are no error, as the specification asks.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.events.canonical import InvalidEvent, Problem

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

ATTRIBUTE_OF = {
    "event_id": "id",
    "event_type": "type",
    "recipient_id": "subject",
    "source": "source",
    "created_at": "time",
    "data": "data",
    "idempotency_key": "idempotencykey",
    "priority": "priority",
    "send_at": "sendat",
    "expires_at": "expiresat",
    "collapse_key": "collapsekey",
    "locale": "locale",
    "template": "template",
}
"""Canonical field → the attribute that says the same, but for `channels`."""

_REQUIRED = ("id", "source", "specversion", "type")
_MOST_CHANNELS_TEXT = 1_000


class Translated(NamedTuple):
    """A canonical document, and the trace that the CloudEvent belongs to (distributed tracing extension)."""

    document: dict[str, Any]
    traceparent: str | None


def is_cloud_event(document: Mapping[str, object]) -> bool:
    """Whether a JSON object says that it is a CloudEvent; no canonical event has this field."""
    return "specversion" in document


def to_canonical(event: Mapping[str, Any]) -> Translated:
    """Translate; what the values are is checked later, as for any canonical document.

    Raises:
        InvalidEvent: it is no CloudEvent 1.0 with JSON data.
    """
    if problems := list(_problems(event)):
        raise InvalidEvent(problems)
    document = {field: event[name] for field, name in ATTRIBUTE_OF.items() if event.get(name) is not None}
    if event.get("recipientid") is not None:
        document["recipient_id"] = event["recipientid"]
    if event.get("channels") is not None:
        document["channels"] = _words(event["channels"])
    # `source` and `id` together are unique (CloudEvents, section 3.1.1), so they make the key where none is given.
    document.setdefault("idempotency_key", f"{event['source']}#{event['id']}")
    document.setdefault("data", {})
    traceparent = event.get("traceparent")
    return Translated(document, traceparent if isinstance(traceparent, str) else None)


def in_cloud_terms(problem: Problem) -> Problem:
    """A problem of the canonical document, with the attribute's name in its pointer."""
    field, slash, rest = problem.pointer.removeprefix("/").partition("/")
    return Problem(f"/{ATTRIBUTE_OF.get(field, field)}{slash}{rest}", problem.text) if field else problem


def _problems(event: Mapping[str, Any]) -> list[Problem]:
    found = [Problem(f"/{name}", "is missing") for name in _REQUIRED if event.get(name) is None]
    found += [
        Problem(f"/{name}", "is not text")
        for name in ("id", "source", "type")
        if event.get(name) is not None and not isinstance(event[name], str)
    ]
    if event.get("specversion") not in (None, "1.0"):
        found.append(Problem("/specversion", "is not 1.0"))
    if event.get("data_base64") is not None:
        found.append(Problem("/data_base64", "is not accepted: put a JSON object into data"))
    kind = event.get("datacontenttype")
    if kind is not None and not _is_json(kind):
        found.append(Problem("/datacontenttype", "is not application/json"))
    if event.get("subject") is None and event.get("recipientid") is None:
        found.append(Problem("/subject", "is missing: it names the recipient, unless recipientid does"))
    return found


def _is_json(kind: object) -> bool:
    media = str(kind).partition(";")[0].strip().lower()
    return media == "application/json" or media.endswith("+json")


def _words(text: object) -> object:
    if not isinstance(text, str) or len(text) > _MOST_CHANNELS_TEXT:
        return text
    return [word.strip() for word in text.split(",") if word.strip()]
