"""A service starts working when its stores answer; until then it says which one does not."""

import asyncio

from redis.asyncio import Redis

from pipeline.config import Settings
from pipeline.errors import Unavailable
from pipeline.observability.health import Health
from pipeline.observability.patience import until_available
from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.redis import REDIS_AWAY
from pipeline.storage.scripts import sql


async def wait_for_stores(redis: Redis, pool: Pool, settings: Settings, health: Health) -> None:
    """Wait until Redis and PostgreSQL answer; logs and readiness say which one does not.

    Raises:
        ConfigurationError: PostgreSQL refuses us, or has no tables yet.
    """

    async def look() -> None:
        with reachable():
            await pool.fetch(sql("applied_migrations"))

    dsn = settings.postgres.dsn.get_secret_value()
    await asyncio.gather(
        until_available("redis", redis.ping, away=REDIS_AWAY, health=health, where=settings.redis.url),
        until_available("postgresql", look, away=(Unavailable,), health=health, where=dsn),
    )
