"""The whole way, router to provider, on a Redis Cluster of three nodes, one of which is restarted on the way."""

import os
import time
from collections.abc import Iterator

import pytest
from redis import RedisCluster

from pipeline.embedded.broker import FORCED
from pipeline.embedded.line import Plan, open_line
from pipeline.embedded.processes import Supervisor
from pipeline.embedded.stack import Stack
from pipeline.embedded.valkey import ADDRESS, ValkeyCluster, open_valkey_cluster
from tests.chaos.storm import Feed, judge
from tests.line.rig import Rig

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

RATE = 100.0
SECONDS = 12.0
AWAY = 3.0


@pytest.fixture
def cluster() -> Iterator[ValkeyCluster]:
    with Supervisor() as supervisor:
        yield open_valkey_cluster(supervisor)


@pytest.fixture
def rig(cluster: ValkeyCluster) -> Iterator[Rig]:
    environment = {
        ADDRESS: cluster.url,
        "PIPELINE_REDIS__CLUSTER": "true",
        "PIPELINE_DELIVERY__PROVIDER_TIMEOUT": "3",
        "PIPELINE_DELIVERY__LEASE": "8",
    }
    forced = {name: os.environ[name] for name in (FORCED,) if name in os.environ}
    with Stack.open({**forced, ADDRESS: cluster.url}) as stack:
        line = open_line(stack, Plan(simulators=("--delay-ms", "20"), environment=environment))
        line.await_ready()
        yield Rig(line)


def test_every_event_is_accounted_for_on_a_cluster_one_of_whose_nodes_comes_back_empty(
    cluster: ValkeyCluster, rig: Rig
) -> None:
    with Feed(rig, rate=RATE, seconds=SECONDS, seed=5) as feed:
        feed.wait_for(0.4)
        cluster.nodes[1].kill()
        time.sleep(AWAY)
        cluster.nodes[1].start()
    verdict = judge(rig, feed.produced)
    assert verdict.ok, verdict
    assert verdict.balance.terminal > feed.produced
    with RedisCluster.from_url(cluster.url) as redis:
        sizes = [len(redis.keys("n:*", target_nodes=node)) for node in redis.get_primaries()]
    assert len(sizes) == len(cluster.nodes)
    assert all(sizes), "every node holds part of the ledger"
