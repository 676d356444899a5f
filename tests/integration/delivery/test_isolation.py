"""Nobody else waits for a user, a priority or a record that is in trouble."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pipeline.events.vocabulary import Status

if TYPE_CHECKING:
    from tests.integration.delivery.conftest import World

pytestmark = pytest.mark.real_broker

HOT = 3_000


async def test_a_user_with_more_messages_than_the_engine_holds_delays_nobody(world: "World") -> None:
    world.sender.seconds = 0.01
    worker = world.start()
    await world.produce(*(world.dispatch(f"hot{n}", "hot") for n in range(HOT)))
    await world.until(lambda: worker.in_flight > world.settings.delivery.max_in_flight)
    await world.produce(*(world.dispatch(f"k{n}", f"user{n}") for n in range(200)))
    await world.until(lambda: sum(key.startswith("k") for key in world.sender.keys_sent()) == 200)
    hot = [key for key in world.sender.keys_sent() if key.startswith("hot")]
    assert len(hot) < HOT / 2, "the others were done long before"
    assert hot == [f"hot{n}" for n in range(len(hot))], "and the hot user's order is kept"


async def test_what_waits_aside_moves_to_another_worker_with_its_partition(world: "World") -> None:
    world.sender.seconds = 0.002
    first = world.start()
    users = [f"hot{n}" for n in range(6)]
    await world.produce(*(world.dispatch(f"{user}-{n}", user) for n in range(200) for user in users))
    await world.until(lambda: len(world.sender.sent) > 200)
    second = world.start()
    await world.until(lambda: bool(second.partitions))
    await world.stop(first)
    outcomes = await world.outcomes(1200)
    await world.settled()
    assert {s.status for s in outcomes.values()} == {Status.SENT}
    assert [key for key, count in Counter(world.sender.keys_sent()).items() if count > 1] == []
    for user in users:
        mine = [key for key in world.sender.keys_sent() if key.startswith(f"{user}-")]
        assert mine == [f"{user}-{n}" for n in range(200)]


async def test_beyond_its_room_a_hot_user_is_held_back_like_everybody(world: "World") -> None:
    """Memory stays flat, whatever one user is sent."""
    delivery = world.settings.delivery.model_copy(update={"user_backlog": 50, "max_in_flight": 100})
    world.settings = world.settings.model_copy(update={"delivery": delivery})
    world.sender.open.clear()
    worker = world.start()
    await world.produce(*(world.dispatch(f"hot{n}", "hot") for n in range(250)))
    await world.until(lambda: worker.in_flight > 100)
    await asyncio.sleep(1.5)
    assert worker.in_flight <= 50 + delivery.max_in_flight
    world.sender.open.set()
    outcomes = await world.outcomes(250)
    assert {s.status for s in outcomes.values()} == {Status.SENT}
    assert world.sender.keys_sent() == [f"hot{n}" for n in range(250)]
