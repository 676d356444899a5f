"""What changes about a user between routing and sending counts, however long before the worker looked them up."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from pipeline.events.vocabulary import Reason, Status
from pipeline.observability.health import Health
from pipeline.storage.postgres import Pool
from pipeline.storage.repositories import Repositories
from pipeline.storage.suppressions import Entry
from pipeline.storage.users import UserProfile
from pipeline.users.directory import UserDirectory
from pipeline.users.lookup import Lookup
from tests.integration.delivery.conftest import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


pytestmark = pytest.mark.real_broker


@pytest.fixture
async def lookup(pool: Pool, redis: Redis) -> "AsyncIterator[Lookup]":
    async with Lookup(UserDirectory(pool, redis), Health()) as lookup:
        yield lookup


async def in_line(world: World, lookup: Lookup, repositories: Repositories) -> None:
    """Two notifications of ada were taken in; the first is being sent, the second stands behind it."""
    await repositories.users.put(UserProfile(user_id="ada", email="ada@example.com", phone="+12025550101"))
    world.directory = lookup
    world.sender.open.clear()
    world.start()
    await world.produce(world.dispatch("first"), world.dispatch("second"))
    await world.until(lambda: world.sender.keys_sent() == ["first"])
    await asyncio.sleep(0.3)


async def test_an_address_suppressed_while_its_notification_stood_in_line_is_not_sent_to(
    world: World, lookup: Lookup, repositories: Repositories
) -> None:
    await in_line(world, lookup, repositories)
    await repositories.suppressions.put([Entry(channel=world.channel, user_id="ada", reason="stop")])
    world.sender.open.set()
    outcomes = await world.outcomes(2)
    assert outcomes["first"].status is Status.SENT
    assert (outcomes["second"].status, outcomes["second"].reason) == (Status.SUPPRESSED, Reason.ADDRESS_SUPPRESSED)
    assert world.sender.keys_sent() == ["first"]


async def test_a_user_erased_while_a_notification_stood_in_line_is_not_sent_to(
    world: World, lookup: Lookup, repositories: Repositories, pool: Pool, directory: UserDirectory
) -> None:
    await in_line(world, lookup, repositories)
    await pool.execute("DELETE FROM users WHERE user_id = 'ada'")
    await directory.changed(["ada"])
    world.sender.open.set()
    outcomes = await world.outcomes(2)
    assert (outcomes["second"].status, outcomes["second"].reason) == (Status.SUPPRESSED, Reason.UNKNOWN_RECIPIENT)
