"""A scheduler's parts on real servers, with a clock that the test sets; and a pen that defers as the router would."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Message
from redis.asyncio import Redis

from pipeline.catalogue.loader import load_catalogue
from pipeline.catalogue.model import Catalogue
from pipeline.config import KafkaSettings, PaceSettings, SchedulerSettings
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import Deferred, DeliveryStatus, NotificationRequested
from pipeline.events.vocabulary import Channel, Kind, Priority, Reason
from pipeline.kafka.client import producer_config
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import DELIVERY_STATUS, INGEST
from pipeline.kafka.producer import AsyncProducer
from pipeline.kafka.reader import read_topics
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.scheduler import digests, waiting
from pipeline.scheduler.flusher import Flusher
from pipeline.scheduler.parcel import Parcel
from pipeline.scheduler.releaser import Releaser
from pipeline.scheduler.upkeep import Upkeep
from pipeline.storage.postgres import Pool
from pipeline.storage.repositories import Repositories
from pipeline.storage.users import UserProfile
from pipeline.users.directory import UserDirectory

NOON = 1_790_000_000_000 // 86_400_000 * 86_400_000 + 12 * 3_600_000
MINUTE = 60_000

EVENT_FIELDS = set(NotificationRequested.__struct_fields__) - {"priority"}

CATALOGUE = """
version: test
defaults: {category: orders, template: generic}
categories:
  orders: {}
  social: {}
event_types:
  order.shipped: {category: orders, channels: [email], collapse_key: "order-{data.order_id}"}
  post.liked:
    category: social
    channels: [in_app]
    digest: {type: post.liked_by_many, key: "post-{data.post}", window: 10m, most_items: 3, flush_at: 100}
  post.liked_by_many: {category: social, channels: [in_app]}
"""


@dataclass
class Desk:
    """Everything a test needs. `clock` is a list of one time, so that a test can move it."""

    pool: Pool
    kafka: KafkaSettings
    codec: Codec
    catalogue: Catalogue
    producer: AsyncProducer
    directory: UserDirectory
    people: Repositories
    clock: list[int] = field(default_factory=lambda: [NOON])
    pace: PaceSettings = field(default_factory=lambda: PaceSettings(push=0, email=0, sms=0, in_app=0))
    offset: int = 0

    @property
    def settings(self) -> SchedulerSettings:
        return SchedulerSettings(pace=self.pace, jitter=0, tick=0.2)

    def now(self) -> int:
        return self.clock[0]

    def releaser(self, producer: AsyncProducer | None = None) -> Releaser:
        parts = (self.settings, Health(), Metrics(), self.now, asyncio.Event(), self.catalogue)
        return Releaser(self.pool, self.codec, self.producer if producer is None else producer, *parts)

    def flusher(self, producer: AsyncProducer | None = None) -> Flusher:
        parts = (self.catalogue, self.directory, self.settings, Health(), Metrics(), self.now)
        return Flusher(self.pool, self.codec, self.producer if producer is None else producer, *parts)

    def upkeep(self) -> Upkeep:
        return Upkeep(self.pool, self.settings, Health(), self.now)

    async def store(self, deferreds: Sequence[Deferred], offsets: Sequence[int] | None = None) -> None:
        """What the intake does with one batch."""
        parcel = Parcel()
        for i, deferred in enumerate(deferreds):
            self.offset += 1
            offset = self.offset if offsets is None else offsets[i]
            record = Inbound(0, offset, b"", self.codec.encode_deferred(deferred), [], self.now())
            parcel.add(deferred, record, self.catalogue, 0)
        async with self.pool.acquire() as connection, connection.transaction():
            await waiting.add(connection, parcel.waits)
            await digests.join(connection, parcel.items)
            await waiting.cancel(connection, parcel.cancels)
            await digests.cancel(connection, parcel.cancels)

    async def user(self, user_id: str) -> str:
        await self.people.users.put(UserProfile(user_id=user_id, email=f"{user_id}@example.com"))
        return user_id

    def written(self, topic: str) -> list[Message]:
        return [message for batch in read_topics(self.kafka, [topic]) for message in batch]

    def statuses(self) -> list[DeliveryStatus]:
        return [self.codec.decode_status(m.value()) for m in self.written(DELIVERY_STATUS)]

    def released(self) -> list[NotificationRequested]:
        return [self.codec.decode_event(m.value()).event for m in self.written(INGEST)]


@pytest.fixture
async def desk(
    empty_topics: KafkaSettings,
    pool: Pool,
    redis: Redis,
    directory: UserDirectory,
    repositories: Repositories,
    tmp_path: Path,
) -> AsyncIterator[Desk]:
    path = tmp_path / "catalogue.yaml"
    path.write_text(CATALOGUE)
    async with AsyncProducer(producer_config(empty_topics)) as producer:
        desk = Desk(pool, empty_topics, Codec.open(), load_catalogue(path), producer, directory, repositories)
        await desk.upkeep().once()
        yield desk


def deferred(key: str = "k1", *, until: int = NOON + MINUTE, **changes: object) -> Deferred:
    """A wait for the end of quiet hours, on the email channel of user ``ann``."""
    event_fields = {name: changes.pop(name) for name in list(changes) if name in EVENT_FIELDS}
    channel = changes.get("channel", Channel.EMAIL)
    assert isinstance(channel, Channel)
    event: dict[str, object] = {
        "event_id": f"evt-{key}",
        "event_type": "order.shipped",
        "recipient_id": "ann",
        "channels": [Channel.EMAIL, Channel.PUSH],
        "priority": None,
        "data": f'{{"order_id": "{key}"}}',
        "idempotency_key": key,
        "created_at": NOON - MINUTE,
    }
    made = NotificationRequested(**(event | event_fields))  # type: ignore[arg-type]
    fields: dict[str, object] = {
        "notification_id": notification_id(key, made.recipient_id, channel),
        "channel": channel,
        "priority": Priority.NORMAL,
        "category": "orders",
        "until": until,
        "reason": Reason.QUIET_HOURS,
        "rule": "quiet_hours",
        "policy_version": "1",
        "deferred_at": NOON - 1_000,
        "stage": "router",
        "attempts": 0,
        "trace_id": "",
        "event": made,
    }
    return Deferred(**(fields | changes))  # type: ignore[arg-type]


def cancel(key: str, recipient: str = "ann", at: int = NOON) -> Deferred:
    return deferred(key, until=at, deferred_at=at, recipient_id=recipient, kind=Kind.CANCEL, reason=Reason.CANCELLED)
