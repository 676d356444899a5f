"""What a worker knows of the work of one that vanished: from the commit, from Redis, from the status topic."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pipeline.catalogue.model import InDoubt
from pipeline.delivery.ledger import State
from pipeline.events.vocabulary import Reason, Status
from pipeline.providers.base import Outcome

if TYPE_CHECKING:
    from pipeline.delivery.assembly import Delivery
    from pipeline.events.records import Dispatch
    from tests.integration.delivery.conftest import World

pytestmark = pytest.mark.real_broker

NEVER = 3600.0


def line_of(world: "World", count: int, **changes: object) -> "list[Dispatch]":
    """One record each for so many users of one partition, in order: keys k0, k1, …"""
    return [world.dispatch(f"k{n}", user, **changes) for n, user in enumerate(world.people_of(0, count))]


def finished_beyond(world: "World") -> int:
    _, memory = world.committed(0)
    return sum(span.stop - span.start for span in memory.finished) if memory else 0


def epoch(world: "World") -> str:
    _, memory = world.committed(0)
    assert memory is not None, "nothing is sent before there is a commit with metadata"
    return memory.epoch


async def all_but_the_first_finish(world: "World", dispatches: "list[Dispatch]", **settings: object) -> "Delivery":
    """The first has reached the provider, whose answer does not come; all others have ended."""
    world.sender.hanging.add("k0")
    worker = world.start(**settings)
    await world.produce(*dispatches)
    await world.until(lambda: len(world.words()) == len(dispatches) - 1)
    return worker


def sent_more_than_once(world: "World") -> list[str]:
    return sorted(key for key, count in Counter(world.sender.keys_sent()).items() if count > 1)


async def test_what_finished_out_of_order_is_not_sent_again_though_redis_was_emptied_meanwhile(world: "World") -> None:
    dispatches = line_of(world, 10)
    worker = await all_but_the_first_finish(world, dispatches)
    await world.until(lambda: finished_beyond(world) == 9)
    await world.vanish(worker)
    await world.redis.flushdb()
    world.sender.answer_all()
    world.start()
    await world.settled()
    assert sent_more_than_once(world) == ["k0"]
    first = (await world.outcomes(10))["k0"]
    assert (first.status, first.in_doubt) == (Status.SENT, True)
    assert sum(status.in_doubt for status in world.statuses()) == 1


async def test_the_map_survives_one_holder_after_the_other(world: "World") -> None:
    dispatches = line_of(world, 10)
    worker = await all_but_the_first_finish(world, dispatches)
    await world.until(lambda: finished_beyond(world) == 9)
    for _ in range(2):
        await world.vanish(worker)
        sent = len(world.sender.sent)
        worker = world.start()
        await world.until(lambda sent=sent: len(world.sender.sent) > sent)  # type: ignore[misc]
        assert finished_beyond(world) == 9
    world.sender.answer_all()
    await world.settled()
    assert sent_more_than_once(world) == ["k0"]


async def test_a_redis_emptied_under_a_worker_gets_back_what_the_worker_knows(world: "World") -> None:
    dispatches = line_of(world, 5)
    world.sender.answers("k1", Outcome.THROTTLED, retry_after=30)
    world.sender.hanging.add("k0")
    worker = world.start()
    await world.produce(*dispatches)
    await world.until(lambda: len(world.words()) == 3 and "k1" in world.sender.answered)
    before = epoch(world)
    await world.redis.flushdb()
    await world.until(lambda: epoch(world) != before)
    keys = [world.keys(dispatch) for dispatch in dispatches]
    found = await world.other_ledger().lease(keys)
    assert [f.state for f in found] == [State.SENDING, State.LEASED, *[State.ACCOUNTED] * 3]
    assert found[1].body, "the tries made are in the lease"

    await world.vanish(worker)
    world.sender.answer_all()
    world.start()
    outcomes = await world.outcomes(4)
    assert outcomes["k0"].in_doubt
    assert not any(outcomes[key].in_doubt for key in outcomes if key != "k0")
    assert sent_more_than_once(world) == ["k0"]


async def test_emptied_and_killed_at_once_the_status_topic_tells_what_had_finished_since_the_commit(
    world: "World",
) -> None:
    """No commit but the first: all that is known of nine outcomes is on the status topic."""
    dispatches = line_of(world, 10)
    worker = await all_but_the_first_finish(world, dispatches, commit_interval=NEVER)
    assert finished_beyond(world) == 0
    await world.redis.flushdb()
    await world.vanish(worker)
    world.sender.answer_all()
    world.start()
    await world.settled()
    assert sent_more_than_once(world) == ["k0"]
    outcomes = await world.outcomes(10)
    assert [key for key, status in outcomes.items() if status.in_doubt] == ["k0"]
    await asyncio.sleep(0.2)
    found = await world.other_ledger().lease([world.keys(dispatch) for dispatch in dispatches])
    assert {f.state for f in found} == {State.ACCOUNTED}, "what the status topic told is in the ledger again"


@pytest.mark.parametrize(
    ("said", "status"),
    [(InDoubt.RESEND, Status.SENT), (InDoubt.PARK, Status.DEAD_LETTERED), (InDoubt.DROP, Status.FAILED)],
)
async def test_what_may_have_been_sent_is_resolved_by_the_word_of_its_category(
    world: "World", said: InDoubt, status: Status
) -> None:
    world.in_doubt = {"orders": said}
    worker = await all_but_the_first_finish(world, line_of(world, 3))
    await world.redis.flushdb()
    await world.vanish(worker)
    world.sender.answer_all()
    world.start()
    await world.settled()
    first = (await world.outcomes(3))["k0"]
    assert (first.status, first.in_doubt) == (status, True)
    if said is not InDoubt.RESEND:
        assert first.reason is Reason.IN_DOUBT
        assert sent_more_than_once(world) == []


async def test_only_what_the_vanished_worker_can_have_had_in_hand_is_in_doubt(world: "World") -> None:
    """It had at most 20 in hand, and 100 wait."""
    world.sender.open.clear()
    worker = world.start(max_in_flight=20, fetch_max_records=20)
    await world.produce(*line_of(world, 100))
    await world.until(lambda: len(world.sender.sent) >= 15)
    begun = set(world.sender.keys_sent())
    await world.redis.flushdb()
    await world.vanish(worker)
    world.sender.open.set()
    world.start()
    outcomes = await world.outcomes(100)
    await world.settled()
    doubted = {key for key, status in outcomes.items() if status.in_doubt}
    assert begun <= doubted <= {f"k{n}" for n in range(20)}
    assert {status.status for status in outcomes.values()} == {Status.SENT}


async def test_what_was_begun_behind_a_users_many_waiting_records_is_in_doubt_and_these_are_not(world: "World") -> None:
    """60 of one user, of which 4 stand in line; the next user's is begun although it is far beyond what is in hand."""
    hot, other = world.people_of(0, 2)
    world.sender.open.clear()
    worker = world.start(max_in_flight=20, fetch_max_records=20, user_share=4)
    await world.produce(*(world.dispatch(f"hot{n}", hot) for n in range(60)), world.dispatch("other", other))
    await world.until(lambda: sorted(world.sender.keys_sent()) == ["hot0", "other"])
    await world.redis.flushdb()
    await world.vanish(worker)
    world.sender.open.set()
    world.start()
    outcomes = await world.outcomes(61)
    await world.settled()
    doubted = {key for key, status in outcomes.items() if status.in_doubt}
    assert {"hot0", "other"} <= doubted <= {"hot0", "hot1", "hot2", "hot3", "other"}


async def test_a_redis_emptied_while_nobody_works_leaves_nothing_in_doubt(world: "World") -> None:
    world.sender.seconds = 0.05
    worker = world.start(max_in_flight=20, concurrency=2)
    await world.produce(*line_of(world, 60))
    await world.until(lambda: len(world.words()) > 5)
    await world.stop(worker)
    await world.redis.flushdb()
    world.sender.seconds = 0
    world.start()
    outcomes = await world.outcomes(60)
    await world.settled()
    assert not any(status.in_doubt for status in outcomes.values())
    assert sent_more_than_once(world) == []


async def test_a_map_without_room_takes_in_no_more_and_loses_nothing(world: "World") -> None:
    """Every second one hangs, so that the map is as long as it can get; the limit has room for a few dozen runs."""
    world.sender.hanging |= {f"k{n}" for n in range(0, 400, 2)}
    worker = world.start(offset_metadata_max=128, max_in_flight=150, concurrency=150)
    people = world.people_of(0, 400)
    await world.produce(*(world.dispatch(f"k{n}", people[n]) for n in range(100)))
    await world.until(lambda: len(world.words()) == 50)
    await asyncio.sleep(0.3)
    await world.produce(*(world.dispatch(f"k{n}", people[n]) for n in range(100, 400)))
    await asyncio.sleep(1)
    assert len(world.sender.sent) == 100, "the partition takes in nothing while its map does not fit"
    assert worker.in_flight == 50
    known = finished_beyond(world)
    assert 20 < known < 50, "the part of the map that fits is committed"

    await world.vanish(worker)
    world.sender.answer_all()
    await world.redis.flushdb()
    world.start()
    outcomes = await world.outcomes(400)
    await world.settled()
    assert {status.status for status in outcomes.values()} == {Status.SENT}
    repeated = set(sent_more_than_once(world))
    assert repeated <= {key for key, status in outcomes.items() if status.in_doubt}
    assert repeated == {f"k{n}" for n in range(0, 100, 2)}, "the rest of the map is on the status topic"


async def test_a_map_that_shrinks_lets_the_partition_go_on(world: "World") -> None:
    world.sender.hanging |= {f"k{n}" for n in range(0, 100, 2)}
    world.start(offset_metadata_max=128, max_in_flight=150, concurrency=150)
    people = world.people_of(0, 300)
    await world.produce(*(world.dispatch(f"k{n}", people[n]) for n in range(100)))
    await world.until(lambda: len(world.words()) == 50)
    await asyncio.sleep(0.3)
    await world.produce(*(world.dispatch(f"k{n}", people[n]) for n in range(100, 300)))
    world.sender.answer_all()
    await world.outcomes(300)
    await world.settled()
    assert sent_more_than_once(world) == []


async def test_a_broker_that_takes_less_than_the_setting_says_still_gets_every_commit(
    world: "World", caplog: pytest.LogCaptureFixture
) -> None:
    """The broker takes 4,096 characters; this map asks for more."""
    many = 3400
    world.sender.hanging |= {f"k{n}" for n in range(0, many, 2)}
    world.start(offset_metadata_max=1_000_000, max_in_flight=many, concurrency=many // 2 + 100)
    people = world.people_of(0, many)
    await world.produce(*(world.dispatch(f"k{n}", user) for n, user in enumerate(people)))
    await world.until(lambda: len(world.words()) == many // 2)
    await world.until(lambda: "offset.metadata.max.bytes" in caplog.text)
    await world.until(lambda: finished_beyond(world) > 1400)
    world.sender.answer_all()
    await world.settled()
    assert sent_more_than_once(world) == []
