"""The records that end a wait. Pure: the same wait gives the same records, however often they are written.

A ``released`` status is dated when the wait was over, not when it was written: so it is the same record after a crash.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pipeline.escalation.standing import Standings, encode_standings
from pipeline.events.ids import notification_id
from pipeline.events.records import Deferred, DeliveryStatus, NotificationRequested
from pipeline.events.vocabulary import Channel, Kind, Origin, Reason, Status
from pipeline.kafka.names import Header
from pipeline.kafka.producer import Headers

SOURCE = "digest"
LARGEST_DATA = 512 * 1024
"""Bytes of data that a digest carries at most: well below what an event may have. Items beyond it are only counted."""

_encode = msgspec.json.Encoder().encode


def released_event(deferred: Deferred) -> NotificationRequested:
    """The event as it came, for the one channel that waited: its other channels had decisions of their own."""
    return msgspec.structs.replace(deferred.event, channels=[deferred.channel])


def released_headers(
    deferred: Deferred, now: int, traceparent: bytes | None, standings: Standings | None = None
) -> Headers:
    """`standings`: how the event's other channels stand, where that matters."""
    headers: Headers = [
        (Header.ORIGIN, Origin.RELEASED.value),
        (Header.DEFERRED_AT, str(deferred.deferred_at)),
        (Header.RELEASED_AT, str(now)),
    ]
    if standings is not None:
        headers.append((Header.STEPS, encode_standings(standings)))
    return [*headers, *trace(traceparent)]


def trace(traceparent: bytes | None) -> Headers:
    return [] if traceparent is None else [(Header.TRACEPARENT, traceparent)]


def status(
    deferred: Deferred, status: Status, reason: Reason, rule: str, occurred_at: int, *, into: str = ""
) -> DeliveryStatus:
    """What became of a wait. `into`: the notification id of the digest that an item went into."""
    event = deferred.event
    return DeliveryStatus(
        notification_id=deferred.notification_id,
        event_id=event.event_id,
        idempotency_key=event.idempotency_key,
        recipient_id=event.recipient_id,
        event_type=event.event_type,
        category=deferred.category,
        source=event.source,
        channel=deferred.channel,
        priority=deferred.priority,
        status=status,
        reason=reason,
        rule=rule,
        policy_version=deferred.policy_version,
        provider="",
        provider_message_id=into,
        attempt=deferred.attempts,
        in_doubt=False,
        occurred_at=occurred_at,
        created_at=event.created_at,
        trace_id=deferred.trace_id,
    )


class DigestHead(NamedTuple):
    """What is known of a digest beside its items; `sealed_at` in ms."""

    digest_id: str
    recipient_id: str
    channel: Channel
    key: str
    into_type: str
    most_items: int
    sealed_at: int

    @property
    def idempotency_key(self) -> str:
        return f"digest-{self.digest_id}"

    @property
    def notification_id(self) -> str:
        return notification_id(self.idempotency_key, self.recipient_id, self.channel)


def digest_event(head: DigestHead, items: Sequence[NotificationRequested]) -> NotificationRequested:
    """One event about all of `items`, oldest first: how many they are, and the newest of them in full.

    Its idempotency key follows from the digest, so that the router takes a second one for the duplicate it is.
    """
    return NotificationRequested(
        event_id=head.idempotency_key,
        event_type=head.into_type,
        recipient_id=head.recipient_id,
        channels=[head.channel],
        priority=None,
        data=_data(head, items),
        idempotency_key=head.idempotency_key,
        created_at=head.sealed_at,
        source=SOURCE,
        kind=Kind.REQUEST,
    )


def _data(head: DigestHead, items: Sequence[NotificationRequested]) -> str:
    told: list[bytes] = []
    room = LARGEST_DATA
    for event in reversed(items[-head.most_items :]):
        text = _encode(
            {
                "event_id": event.event_id,
                "event_type": event.event_type,
                "source": event.source,
                "created_at": event.created_at,
                "data": msgspec.Raw(event.data.encode()),
            }
        )
        room -= len(text) + 1
        if room < 0:
            break
        told.append(text)
    listed = [msgspec.Raw(text) for text in reversed(told)]
    return _encode({"count": len(items), "key": head.key, "items": listed}).decode()
