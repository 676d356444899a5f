"""Dispatches as the router writes them, for benchmarks that begin at the workers."""

import time

from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import Dispatch, NotificationRequested
from pipeline.events.vocabulary import Channel, Origin, Priority
from pipeline.kafka.names import dispatch_topic
from pipeline.kafka.producer import Record

CODEC = Codec.open()


def dispatch_of(user: str, key: str, channel: Channel, priority: Priority = Priority.NORMAL) -> Dispatch:
    """An ``order.shipped`` to `user`, asked for and decided now."""
    now = time.time_ns() // 1_000_000
    event = NotificationRequested(
        event_id=f"evt_{key}",
        event_type="order.shipped",
        recipient_id=user,
        channels=[channel],
        priority=priority,
        data=f'{{"order_id":"ORD-{key}","tracking_url":"https://example.com/track/ORD-{key}"}}',
        idempotency_key=key,
        created_at=now,
        source="bench",
    )
    return Dispatch(
        notification_id=notification_id(key, user, channel),
        channel=channel,
        priority=priority,
        category="orders",
        stream="transactional",
        template="order_shipped",
        collapse_key=None,
        expires_at=None,
        rule="allowed",
        policy_version="bench",
        decided_at=now,
        origin=Origin.INGEST,
        trace_id="",
        event=event,
    )


def dispatch_record(user: str, key: str, channel: Channel, priority: Priority = Priority.NORMAL) -> Record:
    """The same, as it lies on its topic."""
    dispatch = dispatch_of(user, key, channel, priority)
    return Record(dispatch_topic(channel, priority), user.encode(), CODEC.encode_dispatch(dispatch))
