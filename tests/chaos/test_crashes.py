"""Processes end in the middle of traffic: nothing is lost, and nothing is sent twice without saying so."""

import time
from collections.abc import Sequence

import pytest

from pipeline.events.vocabulary import Channel
from pipeline.kafka.names import ROUTER_GROUP
from tests.chaos.conftest import DRAIN_TIMEOUT
from tests.chaos.storm import Feed, Verdict, judge
from tests.line.rig import Rig, wait_until, worker_groups

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

EVENTS = 20_000
RATE = 1_250.0
STRIKES = (0.2, 0.5)
ROUTER, WORKER = "router", "worker-push"
GROUPS = {ROUTER: [ROUTER_GROUP], WORKER: worker_groups(Channel.PUSH)}
LEAVING = 5.0
"""Seconds beyond the drain limit that a process has to leave its group and flush."""


def test_a_router_killed_in_mid_traffic_loses_no_event_and_repeats_none(rig: Rig) -> None:
    verdict = storm(rig, [ROUTER])
    assert_accounted(verdict)
    assert repeated(rig) == 0


def test_a_push_worker_killed_between_provider_and_record_flags_what_it_repeats(rig: Rig) -> None:
    verdict = storm(rig, [WORKER])
    assert_accounted(verdict)
    assert verdict.in_doubt, "no kill came between a request and its record"


def test_router_and_worker_killed_at_once_lose_nothing(rig: Rig) -> None:
    verdict = storm(rig, [ROUTER, WORKER])
    assert_accounted(verdict)
    assert verdict.in_doubt, "no kill came between a request and its record"


def test_router_and_worker_told_to_stop_finish_what_they_began_and_leave_no_doubt(rig: Rig) -> None:
    with feed(rig) as traffic:
        for share in STRIKES:
            await_mid_flight(rig, traffic, share)
            stop_in_order(rig, [ROUTER, WORKER])
            assert_unfinished(rig, [ROUTER, WORKER])
            start(rig, [ROUTER, WORKER])
    verdict = judge(rig, traffic.produced)
    assert_accounted(verdict)
    assert verdict.in_doubt == 0
    assert repeated(rig) == 0


def storm(rig: Rig, victims: Sequence[str]) -> Verdict:
    with feed(rig) as traffic:
        for share in STRIKES:
            await_mid_flight(rig, traffic, share)
            for name in victims:
                rig.service(name).kill()
            assert_unfinished(rig, victims)
            start(rig, victims)
    return judge(rig, traffic.produced)


def feed(rig: Rig) -> Feed:
    return Feed(rig, rate=RATE, seconds=EVENTS / RATE, seed=11, channels=[Channel.PUSH])


def await_mid_flight(rig: Rig, traffic: Feed, share: float) -> None:
    """Until that share is produced and pushes are on their way."""
    traffic.wait_for(share)
    before = rig.accepted("push")
    wait_until(lambda: rig.accepted("push") > before, "pushes arrive")


def assert_unfinished(rig: Rig, victims: Sequence[str]) -> None:
    for name in victims:
        assert rig.lag(*GROUPS[name]) > 0, f"{name} had finished everything"


def stop_in_order(rig: Rig, names: Sequence[str]) -> None:
    began = time.monotonic()
    for name in names:
        rig.service(name).ask_to_stop()
    for name in names:
        assert rig.service(name).wait(DRAIN_TIMEOUT + LEAVING) == 0, rig.service(name).log_tail(40)
    assert time.monotonic() - began < DRAIN_TIMEOUT + LEAVING


def start(rig: Rig, names: Sequence[str]) -> None:
    for name in names:
        rig.service(name).start()


def assert_accounted(verdict: Verdict) -> None:
    balance = verdict.balance
    assert verdict.ok, verdict
    assert balance.unaccounted == balance.duplicates_unflagged == balance.rejected == 0
    assert balance.accepted == balance.terminal + balance.waiting


def repeated(rig: Rig) -> int:
    return sum(taken.duplicates for taken in rig.taken().values())
