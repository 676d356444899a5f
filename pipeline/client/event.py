"""What a service sends, and what it gets for it."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from pipeline.errors import EventRefused
from pipeline.events.vocabulary import Channel, Kind, Priority


def _new_id() -> str:
    return str(uuid.uuid4())


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """One event for one recipient, as `NotificationRequested` has it.

    `data` is what JSON can hold. Without `channels` and `priority` the event catalogue decides. Times have a time zone.
    The `idempotency_key` makes what is sent twice one notification: give one that a second run of the same work arrives
    at again (``order-1001-shipped``); the default covers the client's own retries, and sending this object again.
    Without a `source` it is the API key's name; straight to Kafka the client's.
    """

    event_type: str
    recipient_id: str
    data: Mapping[str, object] = field(default_factory=dict)
    _: KW_ONLY
    idempotency_key: str = field(default_factory=_new_id)
    channels: Sequence[Channel | str] = ()
    priority: Priority | str | None = None
    send_at: datetime | None = None
    expires_at: datetime | None = None
    collapse_key: str | None = None
    locale: str | None = None
    template: str | None = None
    source: str = ""
    event_id: str = field(default_factory=_new_id)
    created_at: datetime = field(default_factory=_now)

    def document(self, kind: Kind = Kind.REQUEST) -> dict[str, object]:
        """Its canonical JSON.

        Raises:
            EventRefused: a time has no time zone.
        """
        given: dict[str, object] = {
            "event_id": self.event_id,
            "event_type": self.event_type,
            "recipient_id": self.recipient_id,
            "channels": list(self.channels),
            "priority": self.priority,
            "data": dict(self.data),
            "idempotency_key": self.idempotency_key,
            "created_at": _text("created_at", self.created_at),
            "source": self.source or None,
            "send_at": _text("send_at", self.send_at),
            "expires_at": _text("expires_at", self.expires_at),
            "collapse_key": self.collapse_key,
            "locale": self.locale,
            "template": self.template,
            "kind": kind.value if kind is Kind.CANCEL else None,
        }
        return {name: value for name, value in given.items() if value is not None}


class Receipt(NamedTuple):
    """Kafka has the event, on all in-sync replicas. `replayed`: it had it before (only a gateway can tell)."""

    event_id: str
    idempotency_key: str
    replayed: bool = False


def as_json(document: object) -> bytes:
    """Of one document or a list.

    Raises:
        EventRefused: something in `data` is nothing that JSON has.
    """
    try:
        return json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise EventRefused("the event is no JSON", problems=[("/data", str(error))]) from None


def _text(name: str, time: datetime | None) -> str | None:
    if time is None:
        return None
    if time.utcoffset() is None:
        raise EventRefused("a time has no time zone", problems=[(f"/{name}", "use datetime.now(UTC), or tzinfo=…")])
    return time.astimezone(UTC).isoformat(timespec="milliseconds")
