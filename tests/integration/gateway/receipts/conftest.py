"""One gateway and one set of servers for all tests of a module: each test has users and notifications of its own."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import msgspec
import pytest
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis

from pipeline.config import KafkaSettings, PostgresSettings, RedisSettings
from pipeline.embedded.valkey import Valkey
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import DeliveryStatus
from pipeline.events.references import Reference
from pipeline.events.vocabulary import Channel, Priority
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.reader import read_topics
from pipeline.kafka.topology import apply_topics, missing_topics
from pipeline.storage.redis import open_redis
from tests.databases import make_anew, new_database

NOW = time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Person:
    """Somebody whom no other test knows."""

    user_id: str
    email: str
    phone: str

    def reference(self, key: str = "order-1", channel: Channel = Channel.EMAIL, **changes: object) -> Reference:
        """A notification to them."""
        made = Reference(
            notification_id=notification_id(key, self.user_id, channel),
            event_id=f"evt-{key}",
            idempotency_key=key,
            recipient_id=self.user_id,
            event_type="order.shipped",
            category="orders",
            source="shop",
            channel=channel,
            priority=Priority.HIGH,
            stream="transactional",
            rule="allowed",
            policy_version="1",
            created_at=NOW - 5_000,
        )
        return msgspec.structs.replace(made, **changes)


@pytest.fixture
def ann() -> Person:
    number = uuid.uuid4().int % 10_000_000
    return Person(f"ann-{number}", f"ann-{number}@example.com", f"+1500{number:07}")


@pytest.fixture(scope="module")
def kafka(kafka_settings: KafkaSettings) -> KafkaSettings:
    if missing_topics(kafka_settings):
        apply_topics(kafka_settings, partitions=4, replication_factor=1)
    return kafka_settings


@pytest.fixture(scope="module")
def postgres_of_module(postgres_dsn: str, migrated: str) -> Iterator[PostgresSettings]:
    with new_database(postgres_dsn) as dsn:
        make_anew(dsn, template=migrated)
        yield PostgresSettings(dsn=SecretStr(dsn))


@pytest.fixture(scope="module")
def redis_settings(valkey: Valkey) -> RedisSettings:
    return RedisSettings(url=valkey.url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def redis(redis_settings: RedisSettings) -> AsyncIterator[Redis]:
    async with open_redis(redis_settings) as redis:
        yield redis


async def told(kafka: KafkaSettings, person: Person) -> list[DeliveryStatus]:
    """All that the status topic says of a person."""
    codec, key = Codec.open(), person.user_id.encode()

    def read() -> list[DeliveryStatus]:
        batches = read_topics(kafka, [DELIVERY_STATUS], key=key)
        return [codec.decode_status(m.value()) for batch in batches for m in batch if m.key() == key]

    return await asyncio.to_thread(read)
