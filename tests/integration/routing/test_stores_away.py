"""A router whose Redis or PostgreSQL is away: what it decides meanwhile, what waits, and that all is decided afterwards."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis

from pipeline.catalogue.loader import load_catalogue
from pipeline.config import KafkaSettings, RouterSettings
from pipeline.embedded.postgres import Postgres
from pipeline.embedded.valkey import Valkey
from pipeline.events.codec import Codec
from pipeline.events.schemas import SchemaBook
from pipeline.events.vocabulary import Channel, Kind, Priority, Verdict
from pipeline.kafka.client import producer_config
from pipeline.kafka.names import DECISIONS, Header, dispatch_topic
from pipeline.kafka.producer import AsyncProducer
from pipeline.kafka.tracing import header
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.routing.router import Router
from pipeline.routing.state import RouterState
from pipeline.storage.postgres import Pool
from pipeline.storage.repositories import Repositories
from pipeline.storage.users import Consent, UserProfile
from pipeline.users.directory import UserDirectory
from pipeline.users.lookup import Lookup
from tests.integration.outages import Outage, away
from tests.integration.routing.test_router import NOON, World, shipped

pytestmark = pytest.mark.broker

TTL = 300
CATALOGUE = """
version: test
defaults: {category: orders, template: generic}
categories:
  orders: {}
  security: {when_users_away: send}
  news: {stream: marketing, consent: required}
event_types:
  order.shipped: {category: orders, channels: [email]}
  login.code: {category: security, channels: [email], priority: critical}
  payment.failed: {category: orders, channels: [email], priority: critical}
  newsletter: {category: news, channels: [email]}
"""


@dataclass
class Observed(World):
    """With the time by which cached users grow old, in ms."""

    lookup: Lookup
    health: Health
    clock: list[int]

    def later(self, seconds: float) -> None:
        self.clock[0] += int(seconds * 1000)

    async def known(self, *user_ids: str) -> None:
        """They exist and are cached."""
        for user_id in user_ids:
            await self.people.users.put(UserProfile(user_id=user_id, email=f"{user_id}@example.com"))
        await self.lookup.find(user_ids)

    def decided(self) -> dict[str, Verdict]:
        return {d.idempotency_key: d.channels[0].verdict for d in self.decisions()}

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(40):
            while not await asyncio.to_thread(reached):  # noqa: ASYNC110  # reads topics, which set no event
                await asyncio.sleep(0.1)


@pytest.fixture
async def world(
    empty_topics: KafkaSettings, redis: Redis, pool: Pool, repositories: Repositories, tmp_path: Path
) -> AsyncIterator[Observed]:
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    settings, book = RouterSettings(), SchemaBook.from_lock()
    health, clock = Health(), [NOON]
    directory = UserDirectory(pool, redis, ttl=TTL, stale_ttl=3600, now=lambda: clock[0])
    async with AsyncProducer(producer_config(empty_topics)) as producer, Lookup(directory, health) as lookup:
        router = Router(
            settings=settings,
            catalogue=load_catalogue(catalogue),
            book=book,
            codec=Codec.open(book),
            state=RouterState(redis, lookup, settings),
            producer=producer,
            archivist=producer,
            health=health,
            metrics=Metrics(),
            clock=lambda: NOON,
        )
        yield Observed(router, repositories, Codec.open(book), empty_topics, redis, lookup, health, clock)


@pytest.mark.parametrize("how", Outage)
async def test_without_redis_nothing_is_decided_and_afterwards_everything_once(
    world: Observed, valkey: Valkey, how: Outage
) -> None:
    await world.known("ann", "bob")
    async with away(valkey.server, how):
        events = [world.record(shipped(user, f"k{n}"), n) for n, user in enumerate(["ann", "bob", "ann"])]
        routing = asyncio.create_task(world.router.route(events))
        await world.until(lambda: "stores" in world.health.report()["missing"])
        await asyncio.sleep(1)
        assert not routing.done()
        assert world.written(DECISIONS) == []
    await routing
    assert sorted(d.idempotency_key for d in world.decisions()) == ["k0", "k1", "k2"]
    assert world.health.report()["missing"] == []


@pytest.mark.parametrize("how", [Outage.STOPPED, Outage.HANGING])
async def test_without_postgresql_cached_users_are_decided_and_the_others_wait(
    world: Observed, postgres: Postgres, how: Outage
) -> None:
    await world.known("ann")
    await world.people.users.put(UserProfile(user_id="bob", email="bob@example.com"))
    events = [shipped("ann", "a1"), shipped("bob", "b1"), shipped("ann", "a2"), shipped("bob", "b2")]
    async with away(postgres.server, how):
        await world.router.acknowledged(
            await world.router.decide([world.record(event, n) for n, event in enumerate(events)])
        )
        assert world.decided() == {"a1": Verdict.DISPATCH, "a2": Verdict.DISPATCH}
        assert world.router.waiting == {0: 1}
        more = [world.record(shipped("bob", "b3"), 10), world.record(shipped("ann", "a3"), 11)]
        await world.router.acknowledged(await world.router.decide(more))
        assert sorted(world.decided()) == ["a1", "a2", "a3"]
        assert world.health.report()["missing"] == ["postgresql"]
    await world.router.route([])
    assert [d.idempotency_key for d in world.decisions() if d.recipient_id == "bob"] == ["b1", "b2", "b3"]
    assert world.router.waiting == {}
    assert world.health.report()["missing"] == []


async def test_an_opt_in_nobody_can_look_up_is_no_opt_in(world: Observed, postgres: Postgres) -> None:
    await world.known("ann")
    await world.people.users.record_consent("ann", Consent(category="news", granted=True))
    await world.lookup.find(["ann"])
    world.later(TTL)
    async with away(postgres.server, Outage.STOPPED):
        handed = await world.router.decide([world.record(shipped("ann", "n1", event_type="newsletter"), 1)])
        assert handed.urgent.left == handed.archived.left == 0
        assert world.router.waiting == {0: 1}
    await world.router.route([])
    assert world.decided() == {"n1": Verdict.DISPATCH}


async def test_a_critical_type_that_the_catalogue_exempts_goes_by_a_copy_past_its_time(
    world: Observed, postgres: Postgres
) -> None:
    await world.known("ann")
    world.later(TTL)
    events = [
        shipped("ann", "normal"),
        shipped("ann", "exempt", event_type="login.code", priority=None, channels=[]),
        shipped("eve", "stranger", event_type="login.code", priority=None, channels=[]),
        shipped("ann", "not-critical", event_type="login.code", priority=Priority.HIGH, channels=[]),
        shipped("ann", "not-exempt", event_type="payment.failed", priority=None, channels=[]),
        shipped("ann", "behind-it", event_type="login.code", priority=None, channels=[]),
    ]
    async with away(postgres.server, Outage.STOPPED):
        batch = await world.router.decide([world.record(event, n) for n, event in enumerate(events)])
        await world.router.acknowledged(batch)
        (decision,) = world.decisions()
        assert decision.idempotency_key == "exempt"
        assert '"user":"stale"' in decision.inputs
        (dispatch,) = world.written(dispatch_topic(Channel.EMAIL, Priority.CRITICAL))
        assert header(dispatch.headers() or [], Header.WHEN_USERS_AWAY) == b"send"  # type: ignore[arg-type]
    await world.router.route([])
    assert [d.idempotency_key for d in world.decisions() if d.recipient_id == "ann"] == [
        "exempt", "normal", "not-critical", "not-exempt", "behind-it"
    ]  # fmt: skip
    assert world.decided()["stranger"] is Verdict.SUPPRESS


async def test_a_cancel_overtakes_nothing_of_its_user_that_waits(world: Observed, postgres: Postgres) -> None:
    await world.people.users.put(UserProfile(user_id="bob", email="bob@example.com"))
    async with away(postgres.server, Outage.STOPPED):
        events = [shipped("bob", "k"), shipped("bob", "k", kind=Kind.CANCEL, event_id="c")]
        await world.router.decide([world.record(event, n) for n, event in enumerate(events)])
        assert world.router.waiting == {0: 0}
    await world.router.route([])
    assert [d.kind for d in world.decisions()] == [Kind.REQUEST, Kind.CANCEL]


async def test_what_waits_of_a_partition_that_was_taken_away_is_left_to_its_next_router(
    world: Observed, postgres: Postgres
) -> None:
    await world.people.users.put(UserProfile(user_id="bob", email="bob@example.com"))
    async with away(postgres.server, Outage.STOPPED):
        await world.router.decide([world.record(shipped("bob", "k"), 5)])
        assert world.router.waiting == {0: 5}
        world.router.forget([0])
        assert world.router.waiting == {}
    await world.known("ann")
    await world.router.route([world.record(shipped("ann", "other"), 6)])
    assert set(world.decided()) == {"other"}
