"""Looking users up while PostgreSQL is away, hangs or is slow: nobody waits long, and all are found in the end."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection

import pytest

from pipeline.embedded.postgres import Postgres
from pipeline.errors import ConfigurationError
from pipeline.observability.health import Health
from pipeline.storage.repositories import Repositories
from pipeline.storage.users import UserProfile
from pipeline.users.directory import UserDirectory
from pipeline.users.lookup import Lookup
from pipeline.users.snapshot import UserSnapshot
from tests.integration.outages import Outage, away

PATIENCE = 0.5


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
async def lookup(directory: UserDirectory, health: Health) -> AsyncIterator[Lookup]:
    async with Lookup(directory, health, patience=PATIENCE) as lookup:
        yield lookup


async def back(lookup: Lookup) -> None:
    async with asyncio.timeout(40):
        while lookup.away:  # noqa: ASYNC110  # looks at what a task does, which sets no event
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("how", [Outage.STOPPED, Outage.HANGING])
async def test_while_postgresql_is_away_nobody_waits_for_it_and_afterwards_all_are_cached(
    lookup: Lookup, repositories: Repositories, postgres: Postgres, health: Health, how: Outage
) -> None:
    for user in ("anna", "bernd", "clara"):
        await repositories.users.put(UserProfile(user_id=user))
    assert set((await lookup.find(["anna"])).known) == {"anna"}
    async with away(postgres.server, how):
        began = time.monotonic()
        assert set((await lookup.find(["anna", "bernd"])).known) == {"anna"}
        assert time.monotonic() - began < PATIENCE + 0.5
        began = time.monotonic()
        assert (await lookup.find(["clara"])).known == {}
        assert time.monotonic() - began < PATIENCE / 2, "it is known to be away by now"
        assert health.report()["missing"] == ["postgresql"]
    await back(lookup)
    assert set((await lookup.directory.cached(["bernd"])).known) == {"bernd"}
    assert all(user.known for user in (await lookup.find(["bernd", "clara"])).known.values())
    assert health.report()["missing"] == []


async def test_a_slow_postgresql_is_waited_for_beside_the_line(
    lookup: Lookup, directory: UserDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = directory.load

    async def slowly(user_ids: Collection[str]) -> dict[str, UserSnapshot]:
        await asyncio.sleep(PATIENCE * 3)
        return await load(user_ids)

    monkeypatch.setattr(directory, "load", slowly)
    assert (await lookup.find(["anna"])).known == {}
    await back(lookup)
    assert set((await directory.cached(["anna"])).known) == {"anna"}


async def test_a_postgresql_that_refuses_us_for_good_is_no_outage(
    lookup: Lookup, directory: UserDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(_user_ids: Collection[str]) -> dict[str, UserSnapshot]:
        raise ConfigurationError("PostgreSQL refuses us")

    monkeypatch.setattr(directory, "load", refused)
    with pytest.raises(ConfigurationError):
        await lookup.find(["anna"])
