"""The broker is restarted, killed, and hangs, in mid-traffic: nothing is lost, and no notification goes out twice."""

import time

import pytest

from pipeline.events.vocabulary import Channel
from tests.chaos.storm import Feed, judge
from tests.integration.outages import Outage, gone
from tests.line.rig import Rig, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.real_broker, pytest.mark.timeout(300)]

RATE = 150.0
SECONDS = 30.0
AWAY = {Outage.STOPPED: 3.0, Outage.KILLED: 3.0, Outage.HANGING: 8.0}
SLOW = 0.7
"""Of each second it stands still for so much."""


def test_a_broker_that_is_away_costs_nothing_but_time(rig: Rig) -> None:
    broker = rig.line.stack.broker.server
    with Feed(rig, rate=RATE, seconds=SECONDS, seed=3, channels=[Channel.PUSH]) as feed:
        for number, (how, seconds) in enumerate(AWAY.items(), 1):
            feed.wait_for(number / (len(AWAY) + 1))
            before = rig.accepted("push")
            with gone(broker, how):
                time.sleep(seconds)
            wait_until(lambda before=before: rig.accepted("push") > before, "pushes go on", 90)  # type: ignore[misc]
    assert_nothing_lost_or_doubled(rig, feed.produced)


def test_a_slow_broker_costs_nothing_but_time(rig: Rig) -> None:
    broker = rig.line.stack.broker.server
    with Feed(rig, rate=RATE, seconds=SECONDS / 2, seed=4, channels=[Channel.PUSH]) as feed:
        while feed.running:
            with gone(broker, Outage.HANGING):
                time.sleep(SLOW)
            time.sleep(1 - SLOW)
    assert_nothing_lost_or_doubled(rig, feed.produced)


def assert_nothing_lost_or_doubled(rig: Rig, produced: int) -> None:
    verdict = judge(rig, produced)
    assert verdict.ok, verdict
    assert sum(taken.duplicates for taken in rig.taken().values()) == 0
    assert verdict.in_doubt == 0
