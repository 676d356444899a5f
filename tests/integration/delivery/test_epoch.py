"""The epoch of a Redis and of a cluster, and what is written back after an emptying."""

import itertools
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from pipeline.config import RedisSettings
from pipeline.delivery.epoch import Epoch
from pipeline.delivery.ledger import Ledger, Move, State, entry_keys
from pipeline.embedded.processes import Supervisor
from pipeline.embedded.valkey import ValkeyCluster, open_valkey_cluster
from pipeline.observability.health import Health
from pipeline.observability.patience import until_available
from pipeline.storage.redis import REDIS_AWAY, open_redis

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # the library's connections to a killed node


@pytest.fixture(scope="module")
def valkey_cluster(supervisor: Supervisor) -> ValkeyCluster:
    return open_valkey_cluster(supervisor)


@pytest.fixture(params=["server", "cluster"])
async def redis(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    if request.param == "server":
        settings = RedisSettings(url=request.getfixturevalue("redis_url"))
    else:
        cluster: ValkeyCluster = request.getfixturevalue("valkey_cluster")
        settings = RedisSettings(url=cluster.url, cluster=True)
    async with open_redis(settings) as redis:
        await redis.flushall()
        yield redis


def epoch(redis: Redis, start: int = 0) -> Epoch:
    numbers = itertools.count(start)
    return Epoch(redis, lambda: f"mark {next(numbers)}")


def ledger(redis: Redis, token: str = "a" * 16) -> Ledger:
    return Ledger(redis, Health(), token=token, retention=60, lease=5)


async def test_all_workers_read_the_same_epoch_until_redis_is_emptied(redis: Redis) -> None:
    first = await epoch(redis).read()
    assert await epoch(redis, 100).read() == first
    await redis.flushall()
    assert await epoch(redis, 200).read() != first


async def test_a_node_of_a_cluster_that_comes_back_empty_begins_a_new_epoch(valkey_cluster: ValkeyCluster) -> None:
    async with open_redis(RedisSettings(url=valkey_cluster.url, cluster=True)) as redis:
        before = await epoch(redis).read()
        valkey_cluster.nodes[1].kill()
        valkey_cluster.nodes[1].start()
        after = await until_available("redis", epoch(redis, 100).read, away=REDIS_AWAY, health=Health())
        assert after != before


async def test_what_is_written_back_is_what_was_there_and_undoes_nothing_that_came_meanwhile(redis: Redis) -> None:
    keys = [entry_keys(f"user{n}", f"n{n}", f"k{n}") for n in range(5)]
    leased, sending, done, accounted, other = keys
    heir = ledger(redis, "b" * 16)
    await heir.lease([other])
    body = b"what the worker knows"
    ours = ledger(redis)
    await ours.restore(
        [
            (leased.entry, b"L" + body),
            (sending.entry, b"S" + body),
            (done.entry, b"D" + body),
            (accounted.entry, b"A"),
            (other.entry, b"S" + body),
        ]
    )
    found = await heir.lease(keys)
    assert [f.state for f in found] == [State.LEASED, State.SENDING, State.DONE, State.ACCOUNTED, State.LEASED]
    assert [f.body for f in found] == [body, b"", body, b"", b""]
    assert await heir.start(other, State.LEASED, b"") is Move.MADE
    assert await ours.close(sending, State.LEASED, body), "its holder goes on as if nothing had happened"
