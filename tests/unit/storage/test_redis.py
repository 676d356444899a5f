import pytest

from pipeline.config import RedisSettings
from pipeline.errors import ConfigurationError
from pipeline.storage.redis import REDIS_AWAY, open_redis


def test_a_url_that_cannot_be_read_names_the_setting() -> None:
    with pytest.raises(ConfigurationError, match="PIPELINE_REDIS__URL"):
        open_redis(RedisSettings(url="localhost:6379"))


async def test_a_database_of_a_cluster_is_refused_since_a_cluster_has_only_one() -> None:
    with pytest.raises(ConfigurationError, match="PIPELINE_REDIS__URL"):
        open_redis(RedisSettings(url="redis://localhost:6379/1", cluster=True))


async def test_a_cluster_that_is_not_there_is_away() -> None:
    async with open_redis(RedisSettings(url="redis://127.0.0.1:1", cluster=True)) as redis:
        with pytest.raises(REDIS_AWAY):
            await redis.get("anything")


async def test_a_server_that_is_not_there_is_away() -> None:
    async with open_redis(RedisSettings(url="redis://127.0.0.1:1/0")) as redis:
        with pytest.raises(REDIS_AWAY):
            await redis.get("anything")
