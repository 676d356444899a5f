"""A worker that stands still and comes back, and one that dies in the moment in which Redis is emptied."""

import signal
import time

import pytest
from redis import Redis

from pipeline.embedded.processes import Child
from pipeline.events.vocabulary import Channel
from tests.chaos.storm import Feed, judge
from tests.chaos.test_crashes import assert_accounted, assert_unfinished, await_mid_flight
from tests.line.rig import Rig, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

WORKER, OTHER = "worker-push", "other-worker-push"
SESSION_AND_LEASE = 10.0 + 5.0
HURRIED = 130


def test_a_worker_that_stood_still_sends_nothing_that_another_has_sent(rig: Rig) -> None:
    other = rig.line.start(OTHER, "worker", "--channel", "push")
    rig.line.await_ready()
    with feed(rig, 25.0) as traffic:
        await_mid_flight(rig, traffic, 0.1)
        stand_still(rig.service(WORKER), SESSION_AND_LEASE + 2)
        await_mid_flight(rig, traffic, 0.9)
    verdict = judge(rig, traffic.produced)
    assert_accounted(verdict)
    assert verdict.in_doubt, "nothing was on its way to the provider"
    assert rig.service(WORKER).running
    assert other.running


def test_a_worker_killed_while_redis_is_emptied_loses_nothing_and_flags_what_it_repeats(rig: Rig) -> None:
    with feed(rig, 12.0) as traffic:
        for share in (0.2, 0.5, 0.8):
            await_mid_flight(rig, traffic, share)
            rig.service(WORKER).kill()
            empty_redis(rig)
            assert_unfinished(rig, [WORKER])
            rig.service(WORKER).start()
    verdict = judge(rig, traffic.produced)
    assert_accounted(verdict)
    assert verdict.in_doubt


def test_a_second_sigterm_ends_a_worker_at_once_and_leaves_a_doubt_that_is_flagged(rig: Rig) -> None:
    worker = rig.service(WORKER)
    with feed(rig, 8.0) as traffic:
        await_mid_flight(rig, traffic, 0.3)
        worker.signal(signal.SIGTERM)
        worker.signal(signal.SIGTERM)
        began = time.monotonic()
        wait_until(lambda: not worker.running, "the worker ends", within=5)
        assert time.monotonic() - began < 2
        assert worker.poll() in (HURRIED, 0)
        worker.start()
    assert_accounted(judge(rig, traffic.produced))


def feed(rig: Rig, seconds: float) -> Feed:
    return Feed(rig, rate=600, seconds=seconds, seed=5, channels=[Channel.PUSH])


def stand_still(child: Child, seconds: float) -> None:
    child.signal(signal.SIGSTOP)
    time.sleep(seconds)
    child.signal(signal.SIGCONT)


def empty_redis(rig: Rig) -> None:
    with Redis.from_url(rig.settings.redis.url) as client:
        client.flushall()
