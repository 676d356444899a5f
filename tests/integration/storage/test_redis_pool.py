"""What happens when a process has more calls under way than it may have connections."""

import asyncio

import pytest

from pipeline.config import RedisSettings
from pipeline.storage.redis import REDIS_AWAY, open_redis

pytestmark = pytest.mark.broker


async def test_more_calls_than_connections_wait_for_one_instead_of_failing(redis_url: str) -> None:
    async with open_redis(RedisSettings(url=redis_url, pool_size=2)) as redis:
        answers = await asyncio.gather(*(redis.incr("n") for _ in range(200)))
        assert sorted(answers) == list(range(1, 201))
        assert (await redis.info("clients"))["connected_clients"] >= 1
        pool = redis.connection_pool
        assert len(pool._available_connections) + len(pool._in_use_connections) <= 2


async def test_no_connection_within_the_timeout_counts_as_redis_being_away(redis_url: str) -> None:
    async with open_redis(RedisSettings(url=redis_url, pool_size=1, timeout=0.2)) as redis:
        held = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        with pytest.raises(REDIS_AWAY):
            await redis.ping()
        await redis.connection_pool.release(held)
        assert await redis.ping()
