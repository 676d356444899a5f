"""Redis as a cluster: what is published at any node is heard, also after the node that was listened to has gone."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from pipeline.config import RedisSettings, Settings
from pipeline.embedded.processes import Supervisor
from pipeline.embedded.valkey import ValkeyCluster, open_valkey_cluster
from pipeline.kafka.names import IN_APP_CHANNEL
from pipeline.realtime.presence import Presence
from pipeline.storage.postgres import open_pool
from pipeline.storage.redis import open_redis
from pipeline.storage.slots import as_cluster
from tests.integration.realtime.conftest import Servers, item, somebody, stream, until_seen

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def cluster(supervisor: Supervisor) -> ValkeyCluster:
    return open_valkey_cluster(supervisor)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clustered(settings: Settings, cluster: ValkeyCluster) -> AsyncIterator[Servers]:
    redis_settings = RedisSettings(url=cluster.url, cluster=True)
    on_cluster = settings.model_copy(update={"redis": redis_settings})
    async with await open_pool(settings.postgres) as pool, open_redis(redis_settings) as redis:
        yield Servers(on_cluster, pool, redis)


async def test_what_is_published_at_any_node_is_heard_whatever_becomes_of_the_one_that_is_listened_to(
    clustered: Servers, cluster: ValkeyCluster
) -> None:
    user = somebody()
    async with clustered.instance(sweep=5) as instance, stream(instance, user) as client:
        nodes = as_cluster(clustered.redis)
        assert nodes is not None
        for number, node in enumerate(nodes.get_nodes()):
            async with Redis(host=node.host, port=int(node.port)) as direct:
                message = {"recipient_id": user, "data": {"title": str(number)}}
                await direct.publish(IN_APP_CHANNEL, msgspec.json.encode(message))
            assert await client.titles(1) == [str(number)]
        await until_seen(Presence(clustered.redis), user, True)
        for round_, server in enumerate(cluster.nodes):
            await asyncio.to_thread(server.kill)
            await clustered.inbox.add([item(user, round_)])
            await asyncio.to_thread(server.start)
        assert await client.titles(3) == ["0", "1", "2"]
