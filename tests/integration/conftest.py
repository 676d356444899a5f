"""The stores of the pipeline, fresh for each test."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from pipeline.config import PostgresSettings, RedisSettings
from pipeline.storage.migrate import migrate
from pipeline.storage.postgres import Pool, open_pool
from pipeline.storage.redis import open_redis
from pipeline.storage.repositories import Repositories
from pipeline.users.directory import UserDirectory


@pytest.fixture
def postgres_settings(database_dsn: str) -> PostgresSettings:
    """A database of its own, migrated."""
    migrate(database_dsn)
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
