"""One dead letter, decoded, with all that happened to it: as a document for people and programs. Pure.

It holds the message's content. It is for an operator's eyes, and must never be logged.
"""

import base64
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pipeline.dlq.letters import Content, DeadLetter, Unreadable, event_of, units_of
from pipeline.errors import MalformedRecord
from pipeline.events.canonical import CanonicalJson, format_time
from pipeline.events.records import DeliveryStatus, Dispatch
from pipeline.kafka.dead_letters import PREFIX

Document = dict[str, Any]

_TIMES = ("decided_at", "expires_at")


def document(
    letter: DeadLetter, content: Content, canonical: CanonicalJson, *, handled: bool, statuses: Iterable[DeliveryStatus]
) -> Document:
    """Where it lies, why, its rounds, the record itself, and what the status topic says of its notifications.

    `event` is canonical JSON, `dispatch` the decision around it; what cannot be read is `bytes`, as base64.
    """
    units = {unit.notification_id for unit in units_of(letter, content)}
    return {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "state": "handled" if handled else "open",
        "reason": letter.reason,
        "error": letter.last.error,
        "attempts": letter.last.attempts,
        "at": format_time(letter.at),
        "key": None if letter.key is None else letter.key.decode(errors="backslashreplace"),
        "notification_ids": sorted(units),
        "headers": {name: _text(value) for name, value in letter.headers if not name.startswith(PREFIX)},
        "rounds": [{**r._asdict(), "at": format_time(r.at) if r.at else None} for r in letter.rounds],
        "statuses": [_told(status) for status in statuses if status.notification_id in units],
        **_record(letter, content, canonical),
    }


def _record(letter: DeadLetter, content: Content, canonical: CanonicalJson) -> Document:
    value = letter.value
    if isinstance(content, Unreadable):
        encoded = None if value is None else base64.b64encode(value).decode()
        return {"unreadable": content.text, "size": len(value or b""), "bytes": encoded}
    event = event_of(content)
    assert event is not None, "what can be read holds an event"
    about = _dispatch(content) if isinstance(content, Dispatch) else {}
    try:
        return {**about, "event": canonical.to_document(event)}
    except MalformedRecord:
        return {**about, "event": msgspec.to_builtins(event)}


def _dispatch(dispatch: Dispatch) -> Document:
    told: Document = msgspec.to_builtins(dispatch)
    del told["event"]
    times = {name: format_time(told[name]) for name in _TIMES if told[name] is not None}
    return {"dispatch": {**told, **times}}


def _told(status: DeliveryStatus) -> Document:
    return {
        "at": format_time(status.occurred_at),
        "status": status.status,
        "reason": status.reason,
        "provider": status.provider,
        "attempt": status.attempt,
        "in_doubt": status.in_doubt,
    }


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="backslashreplace")


def hex_lines(value: bytes, limit: int) -> Sequence[str]:
    """The first `limit` bytes, sixteen a line: offset, hexadecimal, printable ASCII."""
    lines = []
    for start in range(0, min(len(value), limit), 16):
        row = value[start : min(start + 16, limit)]
        printable = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{start:08x}  {row.hex(' '):<47}  {printable}")
    return lines
