"""From records of the deferred topic to what is to be stored: waits, items of digests, cancels. Pure."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from pipeline.catalogue.model import URGENCY, Catalogue, Digest
from pipeline.errors import MalformedRecord
from pipeline.events.codec import parse_data
from pipeline.events.records import Deferred
from pipeline.events.vocabulary import Kind, Reason
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import Header
from pipeline.kafka.tracing import header
from pipeline.scheduler.times import due_at, instant
from pipeline.scheduler.windows import Item


class WaitingRow(NamedTuple):
    """A row of `waiting`, in the order of ``add_waiting.sql``."""

    notification_id: uuid.UUID
    deferred_at: datetime
    due_at: datetime
    recipient_id: str
    idempotency_key: str
    channel: str
    urgency: int
    reason: str
    collapse_key: str | None
    created_at: datetime
    arrival: int
    traceparent: bytes | None
    record: bytes


class CancelRow(NamedTuple):
    """A request that was taken back."""

    recipient_id: str
    idempotency_key: str
    at: datetime


class DigestKey(NamedTuple):
    """What the items of one digest have in common."""

    recipient_id: str
    channel: str
    event_type: str
    key: str


class DigestItem(NamedTuple):
    """One item and the digest that it asks for."""

    key: DigestKey
    spec: Digest
    item: Item
    idempotency_key: str
    arrival: int
    traceparent: bytes | None
    record: bytes


@dataclass(slots=True)
class Parcel:
    """What a batch of records asks for. Cancels apply to what came with them too."""

    waits: list[WaitingRow] = field(default_factory=list)
    items: list[DigestItem] = field(default_factory=list)
    cancels: list[CancelRow] = field(default_factory=list)

    def add(self, deferred: Deferred, record: Inbound, catalogue: Catalogue, jitter: int) -> None:
        """Sort one record in. An item whose type collects nothing any more waits like anything else.

        Raises:
            MalformedRecord: its ids or its data are none.
        """
        event = deferred.event
        if event.kind is Kind.CANCEL:
            at = instant(deferred.deferred_at)
            self.cancels.append(CancelRow(event.recipient_id, event.idempotency_key, at))
            return
        data = parse_data(event.data)
        entry = (catalogue.find(event.event_type) or catalogue.default(event.event_type)).entry
        spec = entry.digest if deferred.reason is Reason.DIGEST else None
        key = None if spec is None else spec.key.fill(data)
        if spec is None or key is None:
            self.waits.append(_wait(deferred, record, entry.collapse(event.collapse_key, data), jitter))
        else:
            self.items.append(_item(deferred, record, spec, key))


def _wait(deferred: Deferred, record: Inbound, collapse_key: str | None, jitter: int) -> WaitingRow:
    event = deferred.event
    return WaitingRow(
        _unit(deferred),
        instant(deferred.deferred_at),
        instant(due_at(deferred, jitter)),
        event.recipient_id,
        event.idempotency_key,
        deferred.channel,
        URGENCY[deferred.priority],
        deferred.reason,
        collapse_key,
        instant(event.created_at),
        record.offset,
        header(record.headers, Header.TRACEPARENT),
        record.value or b"",
    )


def _item(deferred: Deferred, record: Inbound, spec: Digest, key: str) -> DigestItem:
    event = deferred.event
    _unit(deferred)
    return DigestItem(
        DigestKey(event.recipient_id, deferred.channel, event.event_type, key),
        spec,
        Item(deferred.notification_id, deferred.deferred_at),
        event.idempotency_key,
        record.offset,
        header(record.headers, Header.TRACEPARENT),
        record.value or b"",
    )


def _unit(deferred: Deferred) -> uuid.UUID:
    try:
        return uuid.UUID(deferred.notification_id)
    except ValueError:
        raise MalformedRecord("notification_id: is no UUID") from None
