"""Dead letters as the router and the workers leave them."""

from collections.abc import Sequence

import pytest

from pipeline.dlq.letters import DeadLetter
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import Dispatch, NotificationRequested
from pipeline.events.vocabulary import Channel, Kind, Origin, Priority, Reason
from pipeline.kafka.dead_letters import dead_letter
from pipeline.kafka.names import INGEST, INGEST_DLQ

AT = 1_790_000_000_000
HIGH = "notifications.email.high"
DLQ = "notifications.email.dlq"
UNIT = notification_id("k1", "ann", Channel.EMAIL)

Raw = Sequence[tuple[str, bytes | None]]


def event(
    kind: Kind = Kind.REQUEST, channels: Sequence[Channel] = (Channel.PUSH, Channel.EMAIL)
) -> NotificationRequested:
    return NotificationRequested(
        event_id="e1",
        event_type="order.shipped",
        recipient_id="ann",
        channels=list(channels),
        priority=None,
        data='{"order_id":"secret-order"}',
        idempotency_key="k1",
        created_at=AT - 5_000,
        source="shop",
        kind=kind,
    )


def dispatch() -> Dispatch:
    return Dispatch(
        notification_id=UNIT,
        channel=Channel.EMAIL,
        priority=Priority.HIGH,
        category="orders",
        stream="transactional",
        template="order_shipped",
        collapse_key=None,
        expires_at=None,
        rule="allowed",
        policy_version="7",
        decided_at=AT - 4_000,
        origin=Origin.INGEST,
        trace_id="",
        event=event(),
    )


def letter_of(
    value: bytes | None,
    *,
    topic: str = HIGH,
    dlq: str = DLQ,
    headers: Raw = (),
    offset: int = 11,
    reason: Reason = Reason.TEMPLATE_ERROR,
    at: int = AT,
    in_doubt: bool = False,
) -> DeadLetter:
    """`offset` is that of the record in its topic; the dead letter lies at 3."""
    record = dead_letter(
        dlq,
        key=b"ann",
        value=value,
        headers=headers,
        topic=topic,
        partition=1,
        offset=offset,
        reason=reason,
        error="line 3",
        attempts=2,
        now=at,
        in_doubt=in_doubt,
    )
    told = [(name, value.encode() if isinstance(value, str) else value) for name, value in record.headers or []]
    return DeadLetter(
        topic=dlq, partition=0, offset=3, timestamp=at + 50, key=record.key, value=record.value, headers=told
    )


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec.open()


@pytest.fixture
def undelivered(codec: Codec) -> DeadLetter:
    """A dispatch that a worker gave up."""
    return letter_of(codec.encode_dispatch(dispatch()), headers=[("traceparent", b"t")])


@pytest.fixture
def refused(codec: Codec) -> DeadLetter:
    """An event that the router refused."""
    return letter_of(codec.encode_event(event()), topic=INGEST, dlq=INGEST_DLQ, reason=Reason.UNKNOWN_TYPE)
