"""Partitions that go from one worker to another while lanes wait and sends hang; under both group protocols."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer

from pipeline.events.vocabulary import Status
from pipeline.kafka.committing import Commits
from pipeline.kafka.group_protocol import GroupProtocol
from pipeline.providers.base import Outcome

if TYPE_CHECKING:
    from tests.integration.delivery.conftest import World

pytestmark = [pytest.mark.real_broker, pytest.mark.parametrize("protocol", ["classic", "consumer"])]


async def test_what_waits_for_its_next_try_is_handed_on_with_the_tries_it_had(
    world: "World", protocol: GroupProtocol
) -> None:
    world.protocol = protocol
    keys = [f"k{n}" for n in range(200)]
    for key in keys[::2]:
        world.sender.answers(key, Outcome.TRANSIENT)
    first = world.start(backoff_base=6)
    await world.produce(*(world.dispatch(key, f"user{key}") for key in keys))
    await world.until(lambda: len(world.sender.sent) == 200 and world.words().count("sent") == 100)
    second = world.start()
    await world.until(lambda: bool(second.partitions))
    assert len(first.partitions) + len(second.partitions) == 4
    await asyncio.wait_for(world.stop(first), world.settings.delivery.drain_timeout)
    outcomes = await world.outcomes(200)
    await world.settled()
    assert {s.status for s in outcomes.values()} == {Status.SENT}
    assert {s.attempt for key, s in outcomes.items() if key in keys[::2]} == {2}
    assert Counter(world.sender.keys_sent()) == Counter(keys) + Counter(keys[::2])
    assert not any(s.in_doubt for s in world.statuses())


async def test_what_hangs_beyond_the_drain_limit_is_waited_for_by_the_next_and_not_repeated(
    world: "World", protocol: GroupProtocol
) -> None:
    world.protocol = protocol
    keys = [f"k{n}" for n in range(60)]
    world.sender.hanging |= set(keys[:20])
    first = world.start(drain_timeout=0.5, lease=60, provider_timeout=30)
    await world.produce(*(world.dispatch(key, f"user{key}") for key in keys))
    await world.until(lambda: world.words().count("sent") == 40 and len(world.sender.sent) == 60)
    second = world.start(lease=60, provider_timeout=30)
    await world.until(lambda: len(second.partitions) == 2)
    await asyncio.sleep(0.7)
    world.sender.answer_all()
    outcomes = await world.outcomes(60)
    await world.settled()
    assert Counter(world.sender.keys_sent()) == Counter(keys)
    assert not any(s.in_doubt for s in outcomes.values())
    assert (first.in_flight, second.in_flight) == (0, 0)


async def test_partitions_that_go_to_and_fro_under_load_lose_and_repeat_nothing(
    world: "World", protocol: GroupProtocol
) -> None:
    world.protocol = protocol
    world.sender.seconds = 0.01
    for n in range(0, 1200, 10):
        world.sender.answers(f"k{n}", Outcome.THROTTLED, retry_after=0.3)
    stays = world.start()
    for start in range(0, 1200, 600):
        await world.produce(*(world.dispatch(f"k{n}", f"user{n % 211}") for n in range(start, start + 600)))
        guest = world.start()
        await world.until(lambda guest=guest: bool(guest.partitions))  # type: ignore[misc]
        await world.stop(guest)
    outcomes = await world.outcomes(1200)
    await world.settled()
    assert stays.in_flight == 0
    assert {s.status for s in outcomes.values()} == {Status.SENT}
    assert Counter(world.sender.answered) == Counter(f"k{n}" for n in range(1200)) + Counter(
        f"k{n}" for n in range(0, 1200, 10)
    )
    assert not any(s.in_doubt for s in outcomes.values())


async def test_a_commit_that_is_refused_is_made_again(
    world: "World", protocol: GroupProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one is that was asked for under the generation before a rebalance; nothing more finishes after it."""
    refusing, refused = False, set[int]()
    make = Commits.make

    def make_or_refuse(commits: Commits, consumer: Consumer) -> list[int]:
        due = commits.take() if refusing else {}
        refused.update(due)
        return list(due) or make(commits, consumer)

    monkeypatch.setattr(Commits, "make", make_or_refuse)
    world.protocol = protocol
    world.start()
    await world.produce(*(world.dispatch(f"a{n}", f"user{n}") for n in range(20)))
    await world.outcomes(20)
    await world.settled()
    refusing = True
    await world.produce(*(world.dispatch(f"b{n}", f"user{n}") for n in range(20)))
    await world.outcomes(40)
    await world.until(lambda: len(refused) == 4)
    refusing = False
    await world.settled()
