"""The work that both routers' peers do for an event: decode once, encode a dispatch for each of its channels."""

import io
import json
import os
import struct
import uuid
from typing import Any

import fastavro
from fastavro.types import Schema

from pipeline.resources import resource_dir

Fields = dict[str, Any]

BOOTSTRAP = os.environ.get("PIPELINE_KAFKA__BOOTSTRAP_SERVERS", "")
REDIS_URL = os.environ.get("PIPELINE_REDIS__URL", "")
GROUP = os.environ.get("BENCH_GROUP", "")
EVENTS = int(os.environ.get("BENCH_EVENTS", "0"))


def _schema(record: str) -> Schema:
    return fastavro.parse_schema(json.loads((resource_dir("avro") / f"{record}.avsc").read_text()))


EVENT = _schema("NotificationRequested")
DISPATCH = _schema("Dispatch")
HEADER = struct.pack(">bI", 0, 1)


def decode(value: bytes) -> Fields:
    reader = io.BytesIO(value)
    reader.seek(5)
    event = fastavro.schemaless_reader(reader, EVENT, None)
    assert isinstance(event, dict)
    return event


def dispatches(event: Fields) -> list[tuple[str, bytes]]:
    """Topic and value for each channel of the event."""
    return [(f"bench.{channel}", _encode(event, channel)) for channel in event["channels"]]


def _encode(event: Fields, channel: str) -> bytes:
    out = io.BytesIO()
    out.write(HEADER)
    name = event["idempotency_key"] + event["recipient_id"] + channel
    record = {
        "notification_id": str(uuid.uuid5(uuid.NAMESPACE_URL, name)),
        "channel": channel,
        "priority": event["priority"] or "normal",
        "category": "transactional",
        "stream": "transactional",
        "template": "generic",
        "rule": "allowed",
        "policy_version": "1",
        "decided_at": event["created_at"],
        "origin": "ingest",
        "event": event,
    }
    fastavro.schemaless_writer(out, DISPATCH, record)
    return out.getvalue()
