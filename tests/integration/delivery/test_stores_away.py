"""A worker whose Redis or PostgreSQL is away: it sends nothing it may not, and afterwards everything, once."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pipeline.events.vocabulary import Status
from pipeline.kafka.names import Header
from pipeline.storage.postgres import Pool
from pipeline.storage.repositories import Repositories
from pipeline.storage.users import UserProfile
from pipeline.users.directory import UserDirectory
from pipeline.users.lookup import Lookup
from tests.integration.outages import Outage, away

if TYPE_CHECKING:
    from pipeline.embedded.postgres import Postgres
    from pipeline.embedded.valkey import Valkey
    from tests.integration.delivery.conftest import World

pytestmark = pytest.mark.real_broker

TTL = 300


@pytest.mark.parametrize("how", Outage)
async def test_without_redis_nothing_is_sent_and_afterwards_everything_once(
    world: "World", valkey: "Valkey", how: Outage
) -> None:
    world.sender.seconds = 0.02
    worker = world.start()
    await world.produce(*(world.dispatch(f"k{n}", f"user{n}") for n in range(400)))
    await world.until(lambda: len(world.sender.sent) > 60)
    async with away(valkey.server, how):
        await world.until(lambda: "redis" in world.health.report()["missing"])
        sent = len(world.sender.sent)
        await world.produce(*(world.dispatch(f"later{n}", f"user{n}") for n in range(100)))
        await asyncio.sleep(1)
        assert len(world.sender.sent) == sent, "nothing is sent without the ledger"
        assert worker.partitions, "it keeps its partitions: it polls on"
    outcomes = await world.outcomes(500)
    await world.settled()
    assert {s.status for s in outcomes.values()} == {Status.SENT}
    repeated = {key for key, count in Counter(world.sender.keys_sent()).items() if count > 1}
    assert all(outcomes[key].in_doubt for key in repeated)
    assert not repeated or how is Outage.HANGING, "only an answer that came too late leaves a doubt"
    assert world.health.report()["missing"] == []


async def acquainted(world: "World", repositories: Repositories, *users: str) -> None:
    """They exist and are cached."""
    for user in users:
        await repositories.users.put(UserProfile(user_id=user))
    await world.directory.find(users)


@pytest.mark.parametrize("how", [Outage.STOPPED, Outage.HANGING])
async def test_without_postgresql_cached_users_are_served_and_the_others_wait_in_their_lanes(
    world: "World", pool: Pool, repositories: Repositories, postgres: "Postgres", how: Outage
) -> None:
    async with Lookup(UserDirectory(pool, world.redis), world.health) as world.directory:
        await acquainted(world, repositories, "ann")
        await repositories.users.put(UserProfile(user_id="bob"))
        async with away(postgres.server, how):
            world.start()
            order = ["bob1", "ann1", "bob2", "ann2", "nobody1"]
            await world.produce(*(world.dispatch(key, key[:-1]) for key in order))
            await world.outcomes(2)
            await asyncio.sleep(1)
            assert world.sender.keys_sent() == ["ann1", "ann2"]
        outcomes = await world.outcomes(5)
        await world.settled()
        assert world.sender.keys_sent() == ["ann1", "ann2", "bob1", "bob2"]
        assert outcomes["nobody1"].status is Status.SUPPRESSED
        assert not any(s.in_doubt for s in outcomes.values())
        for delivery in list(world._running):
            await world.stop(delivery)


async def test_a_copy_past_its_time_serves_only_what_the_router_exempted(
    world: "World", pool: Pool, repositories: Repositories, postgres: "Postgres"
) -> None:
    now = [1_000_000]
    directory = UserDirectory(pool, world.redis, ttl=TTL, stale_ttl=3600, now=lambda: now[0])
    async with Lookup(directory, world.health) as world.directory:
        await acquainted(world, repositories, "ann", "bob")
        now[0] += TTL * 1000
        async with away(postgres.server, Outage.STOPPED):
            world.start()
            await world.produce(world.dispatch("exempt", "ann"), headers=[(Header.WHEN_USERS_AWAY, "send")])
            await world.produce(world.dispatch("stranger", "eve"), headers=[(Header.WHEN_USERS_AWAY, "send")])
            await world.produce(world.dispatch("not", "bob"))
            await world.outcomes(1)
            await asyncio.sleep(1)
            assert world.sender.keys_sent() == ["exempt"]
        outcomes = await world.outcomes(3)
        assert sorted(world.sender.keys_sent()) == ["exempt", "not"]
        assert outcomes["stranger"].status is Status.SUPPRESSED
        for delivery in list(world._running):
            await world.stop(delivery)


async def test_users_who_cannot_be_looked_up_fill_the_engine_to_its_limit_and_no_further(world: "World") -> None:
    world.people.away = True
    worker = world.start()
    await world.produce(*(world.dispatch(f"k{n}", f"user{n}") for n in range(1000)))
    limit = world.settings.delivery.max_in_flight
    await world.until(lambda: worker.in_flight > limit / 2)
    await asyncio.sleep(2)
    assert worker.in_flight <= limit
    assert world.sender.sent == []
    parked = world.metrics.lanes_parked.labels(world.topic)._value.get()
    assert limit / 2 < parked <= limit
    world.people.away = False
    outcomes = await world.outcomes(1000)
    assert {s.status for s in outcomes.values()} == {Status.SENT}
    assert len(world.sender.sent) == 1000
