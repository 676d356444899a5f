"""A dead letter as text for people."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from pipeline.dlq.showing import hex_lines

HEX_BYTES = 512
"""Bytes of an unreadable record that are shown; ``--json`` gives all of them."""


def to_text(document: dict[str, Any]) -> str:
    """A document of `pipeline.dlq.showing`, line by line."""
    return "\n".join(_lines(document))


def _lines(d: dict[str, Any]) -> Iterator[str]:
    yield f"{d['topic']}, partition {d['partition']}, offset {d['offset']}: {d['state']}"
    yield f"  {d['reason'] or 'no reason'}: {d['error'] or 'no error text'}"
    yield f"  dead-lettered {d['at']} after {d['attempts']} tries, key {d['key']}"
    for unit in d["notification_ids"]:
        yield f"  notification {unit}"
    yield "  rounds"
    for number, r in enumerate(d["rounds"], start=1):
        where = f"{r['topic']}/{r['partition']}/{r['offset']}" if r["topic"] else "nobody knows where"
        doubt = ", in doubt" if r["in_doubt"] else ""
        yield f"    {number}. {r['at'] or 'no time'}  {r['reason'] or 'no reason'} after {r['attempts']} tries{doubt}, {where}"
    if d["statuses"]:
        yield "  statuses"
    for s in d["statuses"]:
        via = f" by {s['provider']}" if s["provider"] else ""
        doubt = ", in doubt" if s["in_doubt"] else ""
        yield f"    {s['at']}  {s['status']} ({s['reason']}){via}{doubt}"
    for name, value in d["headers"].items():
        yield f"  header {name}: {value}"
    yield from _record(d)


def _record(d: dict[str, Any]) -> Iterator[str]:
    for name in ("dispatch", "event"):
        if name in d:
            yield f"  {name}"
            yield from ("    " + line for line in json.dumps(d[name], indent=2, ensure_ascii=False).splitlines())
    if "unreadable" in d:
        yield f"  {d['size']} bytes that cannot be read now: {d['unreadable']}"
        value = base64.b64decode(d["bytes"] or "")
        yield from ("    " + line for line in hex_lines(value, HEX_BYTES))
        if len(value) > HEX_BYTES:
            yield f"    … {len(value) - HEX_BYTES} more bytes (all of them with --json)"
