"""The topics and stores of the pipeline, fresh for each test."""

import time
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr
from redis.asyncio import Redis

from pipeline.config import KafkaSettings, PostgresSettings, RedisSettings
from pipeline.kafka.client import base_config
from pipeline.kafka.names import ALL_TOPICS
from pipeline.kafka.topology import apply_topics, missing_topics
from pipeline.storage.migrate import migrate
from pipeline.storage.postgres import Pool, open_pool
from pipeline.storage.redis import open_redis
from pipeline.storage.repositories import Repositories
from pipeline.users.directory import UserDirectory
from tests.databases import make_anew, new_database


@pytest.fixture
def empty_topics(kafka_settings: KafkaSettings) -> KafkaSettings:
    """A cluster that has every topic of the pipeline, each empty and of three partitions."""
    admin = AdminClient(base_config(kafka_settings))
    present = sorted(set(ALL_TOPICS) - set(missing_topics(kafka_settings)))
    if present:
        for deleted in admin.delete_topics(present, operation_timeout=30).values():
            deleted.result()
    deadline = time.monotonic() + 10
    while len(missing_topics(kafka_settings)) < len(ALL_TOPICS) and time.monotonic() < deadline:
        time.sleep(0.05)
    apply_topics(kafka_settings, partitions=3, replication_factor=1)
    return kafka_settings


@pytest.fixture(scope="session")
def migrated(postgres_dsn: str) -> Iterator[str]:
    """The name of a database that was migrated once: a copy of it is made far sooner than it is."""
    with new_database(postgres_dsn) as dsn:
        migrate(dsn)
        yield urlsplit(dsn).path.strip("/")


@pytest.fixture
def postgres_settings(database_dsn: str, migrated: str) -> PostgresSettings:
    """The test's own database, migrated."""
    make_anew(database_dsn, template=migrated)
    return PostgresSettings(dsn=SecretStr(database_dsn))


@pytest.fixture
async def pool(postgres_settings: PostgresSettings) -> AsyncIterator[Pool]:
    async with await open_pool(postgres_settings) as pool:
        yield pool


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(RedisSettings(url=redis_url)) as redis:
        yield redis


@pytest.fixture
def directory(pool: Pool, redis: Redis) -> UserDirectory:
    return UserDirectory(pool, redis)


@pytest.fixture
def repositories(pool: Pool, directory: UserDirectory) -> Repositories:
    return Repositories.over(pool, directory.changed)
