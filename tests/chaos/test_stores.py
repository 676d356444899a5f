"""Redis hangs, PostgreSQL stops, in mid-traffic: what may not go on stands still, what may goes on, and all resumes alone."""

import time

import pytest

from pipeline.events.vocabulary import Channel
from pipeline.kafka.names import ROUTER_GROUP
from tests.chaos.storm import Feed, judge
from tests.integration.outages import Outage, gone
from tests.line.rig import Rig, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

RATE = 100.0
SECONDS = 30.0
AWAY = 8.0
SETTLING = 2.0
"""Seconds for which provider calls that were under way may still arrive."""


def test_without_redis_nothing_moves_and_without_postgresql_cached_users_are_served(rig: Rig) -> None:
    stack = rig.line.stack
    with Feed(rig, rate=RATE, seconds=SECONDS, seed=6, channels=[Channel.PUSH]) as feed:
        feed.wait_for(0.2)
        with gone(stack.valkey.server, Outage.HANGING):
            time.sleep(SETTLING)
            accepted, lag = rig.accepted("push"), rig.lag(ROUTER_GROUP)
            time.sleep(AWAY)
            assert rig.accepted("push") == accepted, "sent without the ledger"
            assert rig.lag(ROUTER_GROUP) > lag, "the router must wait"
        wait_until(lambda: rig.accepted("push") > accepted, "pushes go on", 60)
        feed.wait_for(0.65)
        with gone(stack.postgres.server, Outage.STOPPED):
            time.sleep(SETTLING)
            accepted = rig.accepted("push")
            wait_until(lambda: rig.accepted("push") > accepted + RATE, "cached users are served")
    verdict = judge(rig, feed.produced)
    assert verdict.ok, verdict
    assert all(rig.service(name).running for name in rig.line.services)
