"""Dead letters on real topics, and an operator who works on them; the workers are played by the test."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Message

from pipeline.config import KafkaSettings, PostgresSettings, Settings
from pipeline.dlq.commands import carry_out, drop_order, open_desk, rehearse, replay_order
from pipeline.dlq.handling import Mode
from pipeline.dlq.listing import Group, group
from pipeline.dlq.run import Report
from pipeline.dlq.selection import Selection
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import DeliveryStatus, Dispatch, NotificationRequested
from pipeline.events.vocabulary import Channel, Origin, Priority, Reason, Status
from pipeline.kafka.client import producer_config
from pipeline.kafka.dead_letters import dead_letter
from pipeline.kafka.names import DELIVERY_STATUS, INGEST, INGEST_DLQ, channel_dlq, dispatch_topic
from pipeline.kafka.producer import AsyncProducer, Headers, Record
from pipeline.kafka.reader import read_topics
from pipeline.observability.lag import OffsetReader

EMAIL = dispatch_topic(Channel.EMAIL, Priority.HIGH)
DLQ = channel_dlq(Channel.EMAIL)
NOW = 1_790_000_000_000


@contextmanager
def no_bar(_selected: int) -> Iterator[object]:
    yield lambda _more: None


class Office:
    """One operator."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.codec = Codec.open()
        self._offsets = OffsetReader(settings.kafka)

    def dispatch(self, number: int) -> Dispatch:
        user, key = f"user-{number % 7}", f"key-{number}"
        event = NotificationRequested(
            event_id=f"event-{number}",
            event_type="order.shipped",
            recipient_id=user,
            channels=[Channel.EMAIL, Channel.PUSH],
            priority=None,
            data='{"secret": "hunter2"}',
            idempotency_key=key,
            created_at=NOW,
        )
        return Dispatch(
            notification_id=notification_id(key, user, Channel.EMAIL),
            channel=Channel.EMAIL,
            priority=Priority.HIGH,
            category="orders",
            stream="transactional",
            template="order_shipped",
            collapse_key=None,
            expires_at=None,
            rule="allowed",
            policy_version="1",
            decided_at=NOW,
            origin=Origin.INGEST,
            trace_id="",
            event=event,
        )

    def undelivered(
        self, number: int, reason: Reason = Reason.TEMPLATE_ERROR, headers: Headers | None = None
    ) -> Record:
        """The dead letter of notification `number`, whose dispatch has that offset."""
        return self.letter(number, self.codec.encode_dispatch(self.dispatch(number)), reason, headers)

    def letter(self, number: int, value: bytes, reason: Reason, headers: Headers | None = None) -> Record:
        return dead_letter(
            DLQ,
            key=f"user-{number % 7}".encode(),
            value=value,
            headers=[(name, text.encode() if isinstance(text, str) else text) for name, text in headers or []],
            topic=EMAIL,
            partition=0,
            offset=number,
            reason=reason,
            error="line 3",
            attempts=1,
            now=NOW + number,
        )

    def refused(self, number: int, value: bytes | None = None) -> Record:
        """An event that the router refused."""
        event = self.dispatch(number).event
        return dead_letter(
            INGEST_DLQ,
            key=event.recipient_id.encode(),
            value=self.codec.encode_event(event) if value is None else value,
            headers=[],
            topic=INGEST,
            partition=0,
            offset=number,
            reason=Reason.UNKNOWN_TYPE if value is None else Reason.MALFORMED,
            error="no such type",
            attempts=0,
            now=NOW + number,
        )

    def told(self, number: int, status: Status, at: int = 0) -> Record:
        dispatch = self.dispatch(number)
        event = dispatch.event
        record = DeliveryStatus(
            notification_id=dispatch.notification_id,
            event_id=event.event_id,
            idempotency_key=event.idempotency_key,
            recipient_id=event.recipient_id,
            event_type=event.event_type,
            category="orders",
            source="",
            channel=Channel.EMAIL,
            priority=Priority.HIGH,
            status=status,
            reason=Reason.ACCEPTED,
            rule="allowed",
            policy_version="1",
            provider="",
            provider_message_id="",
            attempt=1,
            in_doubt=False,
            occurred_at=NOW + at,
            created_at=NOW,
            trace_id="",
        )
        return Record(DELIVERY_STATUS, event.recipient_id.encode(), self.codec.encode_status(record))

    async def write(self, *records: Record) -> None:
        async with AsyncProducer(producer_config(self.settings.kafka)) as producer:
            await producer.send_all(records)

    async def replay(self, selection: Selection | None = None, mode: Mode = Mode.SAME, rate: float = 0) -> Report:
        order = replay_order(selection or Selection(), mode, rate, "ann", "mended")
        return await carry_out(self.settings, order, no_bar)  # type: ignore[arg-type]  # a watch that sees nothing

    async def drop(self, selection: Selection | None = None) -> Report:
        order = drop_order(selection or Selection(), "ann", "no longer wanted")
        return await carry_out(self.settings, order, no_bar)  # type: ignore[arg-type]  # a watch that sees nothing

    async def rehearse(self, selection: Selection | None = None) -> Report:
        order = replay_order(selection or Selection(), Mode.SAME, 0, "ann", "")
        return await asyncio.to_thread(rehearse, self.settings, order)

    async def groups(self) -> list[Group]:
        def look() -> list[Group]:
            return group(letter for letter, _ in open_desk(self.settings).chosen(Selection()))

        return await asyncio.to_thread(look)

    async def depth(self, topic: str = DLQ) -> int:
        return (await asyncio.to_thread(self._offsets.read)).depths[topic]

    def written(self, topic: str) -> list[Message]:
        return [message for batch in read_topics(self.settings.kafka, [topic]) for message in batch]

    def statuses(self) -> list[DeliveryStatus]:
        return [self.codec.decode_status(message.value()) for message in self.written(DELIVERY_STATUS)]

    def words(self) -> Counter[str]:
        return Counter(f"{status.status}" for status in self.statuses())


@pytest.fixture
def office(empty_topics: KafkaSettings, postgres_settings: PostgresSettings) -> Office:
    return Office(Settings(kafka=empty_topics, postgres=postgres_settings))
