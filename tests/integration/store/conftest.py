"""The delivery-status topic and a migrated database; and a pen that writes statuses as the pipeline would."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer

from pipeline.config import KafkaSettings, PostgresSettings, Settings, StoreSettings
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import DeliveryStatus
from pipeline.events.vocabulary import Channel, Priority, Reason, Status
from pipeline.kafka.client import producer_config
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.runtime import Runtime
from pipeline.storage.postgres import Pool
from pipeline.store.rows import event_row
from pipeline.store.service import serve_store
from pipeline.store.upkeep import add_days
from pipeline.store.writer import Batch, Writer

NOW = int(datetime.now(UTC).timestamp()) * 1000
DAY = 86_400_000


def status(key: str = "k", word: Status = Status.SENT, at: int = NOW, **changes: Any) -> DeliveryStatus:
    recipient = changes.get("recipient_id", "ann")
    channel = changes.get("channel", Channel.PUSH)
    made = DeliveryStatus(
        notification_id=notification_id(key, recipient, channel or ""),
        event_id=f"evt-{key}",
        idempotency_key=key,
        recipient_id=recipient,
        event_type="order.shipped",
        category="orders",
        source="shop",
        channel=channel,
        priority=Priority.NORMAL,
        status=word,
        reason=Reason.ACCEPTED,
        rule="allowed",
        policy_version="1",
        provider="fcm",
        provider_message_id="m-1",
        attempt=1,
        in_doubt=False,
        occurred_at=at,
        created_at=changes.get("created_at", at - 1_000),
        trace_id="",
    )
    return msgspec.structs.replace(made, **changes)


@dataclass
class Desk:
    """Everything a test needs."""

    pool: Pool
    settings: Settings
    codec: Codec = field(default_factory=Codec.open)

    def produce(self, values: Iterable[tuple[str, bytes]]) -> None:
        producer = Producer(producer_config(self.settings.kafka))
        for key, value in values:
            producer.produce(DELIVERY_STATUS, value, key.encode())
        assert producer.flush(10) == 0

    def tell(self, statuses: Iterable[DeliveryStatus]) -> None:
        self.produce((s.recipient_id, self.codec.encode_status(s)) for s in statuses)

    async def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.pool.fetch(query, *arguments)]

    async def number(self, query: str) -> int:
        return int(await self.pool.fetchval(query))

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Metrics]:
        """The service, running in this process."""
        runtime = Runtime(self.settings, Health(), Metrics())
        serving = asyncio.ensure_future(serve_store(runtime))
        try:
            yield runtime.metrics
        finally:
            runtime.stopping.set()
            await asyncio.wait_for(serving, 30)

    async def until(self, query: str, expected: object, within: float = 30) -> None:
        deadline = asyncio.get_running_loop().time() + within
        while (found := await self.pool.fetchval(query)) != expected:
            assert asyncio.get_running_loop().time() < deadline, f"{query}: {found}, not {expected}"
            await asyncio.sleep(0.1)


@pytest.fixture
def store_settings(kafka_settings: KafkaSettings, postgres_settings: PostgresSettings) -> Settings:
    return Settings(kafka=kafka_settings, postgres=postgres_settings, store=StoreSettings(batch=200))


@pytest.fixture
def desk(pool: Pool, store_settings: Settings) -> Desk:
    """Without topics: for what concerns PostgreSQL alone."""
    return Desk(pool, store_settings)


@pytest.fixture
def topic_desk(desk: Desk, empty_topics: KafkaSettings) -> Desk:
    return desk


async def fill(pool: Pool, statuses: Sequence[DeliveryStatus]) -> None:
    """What the intake does with one batch, on days that are there."""
    days = [datetime.fromtimestamp(t / 1000, UTC).date() for s in statuses for t in (s.created_at, s.occurred_at)]
    await add_days(pool, min(days), max(days) + timedelta(days=1))
    await Writer(pool).write(Batch([(event_row(s), 0) for s in statuses]))
