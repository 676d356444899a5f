"""One account that is down, throttles or refuses us: the topic waits, and pays nothing for it."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from pipeline.config import KafkaSettings
from pipeline.events.vocabulary import Reason, Status
from pipeline.providers.breaker import Circuit
from pipeline.testing.behaviour import Behaviour, Fault
from tests.integration.delivery.accounts import POISONED, Accounts

pytestmark = pytest.mark.real_broker

DOWN = Behaviour(faults={Fault.UNAVAILABLE: 1.0})
WELL = Behaviour()


@pytest.fixture
async def accounts(kafka_settings: KafkaSettings, redis_url: str, topics: None) -> AsyncIterator[Accounts]:
    async with Accounts(kafka_settings, redis_url) as accounts:
        yield accounts


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.CONFIGURATION, Fault.RESET_BEFORE])
async def test_a_provider_that_is_down_ends_in_lag_and_costs_no_try(accounts: Accounts, fault: Fault) -> None:
    accounts.first.script.behaviour = Behaviour(faults={fault: 1.0})
    world = await accounts.world([accounts.entry("only", accounts.first)])
    world.start()
    await world.produce(*(world.sms(f"k{n}", f"user{n % 60}") for n in range(600)))
    await world.until(lambda: world.state("only") is not Circuit.CLOSED)
    await asyncio.sleep(0.3)
    asked = len(accounts.first.asked)
    await asyncio.sleep(3)
    assert len(accounts.first.asked) - asked <= 3 / 0.2, "probes only"
    await world.until(lambda: len(accounts.first.asked) - asked > 3)
    assert world.lag() == 600
    assert world.waits() == 0
    accounts.first.script.behaviour = WELL
    outcomes = await world.outcomes(600)
    await world.settled()
    assert {s.status for s in outcomes.values()} == {Status.SENT}
    assert max(s.attempt for s in outcomes.values()) <= 3, (
        "four failures at most before it opened, and over more than one"
    )
    assert world.state("only") is Circuit.CLOSED
    assert world.metric("circuit_state", provider="only") == 0
    for user in range(60):
        keys = [
            s.idempotency_key for s in world.statuses() if s.status is Status.SENT and s.recipient_id == f"user{user}"
        ]
        assert keys == sorted(keys, key=lambda key: int(key[1:])), "each user's order is kept"


async def test_nobody_reaching_the_server_costs_a_lone_notification_nothing(accounts: Accounts) -> None:
    """Nothing is sent beside it that would show that the provider is to blame; a connection that fails is enough."""
    entry = accounts.entry("only", accounts.first)
    await accounts.first.close()
    world = await accounts.world([entry])
    world.start()
    await world.produce(world.sms("k"))
    await world.until(lambda: len(world.words()) >= 8)
    assert world.state("only") is not Circuit.CLOSED
    assert set(world.words()) == {"retrying"}
    assert max(s.attempt for s in world.statuses()) <= 5


async def test_a_throttling_provider_pauses_the_account_and_not_each_message(accounts: Accounts) -> None:
    accounts.first.script.behaviour = Behaviour(faults={Fault.THROTTLED: 1.0}, retry_after=1)
    world = await accounts.world([accounts.entry("only", accounts.first)], concurrency=20)
    world.start()
    await world.produce(*(world.sms(f"k{n}", f"user{n}") for n in range(200)))
    await world.until(lambda: world.state("only") is not Circuit.CLOSED)
    began = time.monotonic()
    await asyncio.sleep(2.5)
    probes = time.monotonic() - began + 1
    assert len(accounts.first.asked) <= 20 + probes, "what was under way, and one probe a second"
    accounts.first.script.behaviour = WELL
    outcomes = await world.outcomes(200)
    assert {(s.status, s.attempt) for s in outcomes.values()} == {(Status.SENT, 1)}
    assert set(world.words()) == {"sent"}
    assert world.metric("throttle_waits_total", provider="only") > 0


async def test_a_pause_beyond_the_parking_limit_is_deferred_for_everybody(accounts: Accounts) -> None:
    accounts.first.script.then(Fault.THROTTLED)
    accounts.first.script.behaviour = Behaviour(retry_after=3600)
    world = await accounts.world([accounts.entry("only", accounts.first)], concurrency=1)
    world.start()
    await world.produce(*(world.sms(f"k{n}", f"user{n}") for n in range(30)))
    outcomes = await world.outcomes(30)
    assert {(s.status, s.reason) for s in outcomes.values()} == {(Status.DEFERRED, Reason.THROTTLED)}
    assert len(accounts.first.asked) == 1, "the others did not have to ask"
    await world.settled()


async def test_a_poisonous_message_ends_as_a_dead_letter_and_nobody_notices(accounts: Accounts) -> None:
    world = await accounts.world([accounts.entry("only", accounts.first)])
    world.start()
    await world.produce(world.sms("poison", POISONED))
    for n in range(200):
        await world.produce(world.sms(f"k{n}", f"user{n}"))
        assert world.state("only") is Circuit.CLOSED
    outcomes = await world.outcomes(201)
    assert outcomes.pop("poison").status is Status.DEAD_LETTERED
    assert world.words("poison") == ["retrying"] * 4 + ["dead_lettered"]
    assert {(s.status, s.attempt) for s in outcomes.values()} == {(Status.SENT, 1)}


async def test_who_opted_out_during_the_outage_is_not_written_to_after_it(accounts: Accounts) -> None:
    accounts.first.script.behaviour = DOWN
    world = await accounts.world([accounts.entry("only", accounts.first)])
    world.start()
    await world.produce(*(world.sms(f"k{n}", f"user{n}") for n in range(20)))
    await world.until(lambda: world.state("only") is not Circuit.CLOSED)
    world.phones.suppressed.add("user7")
    await asyncio.sleep(6)
    accounts.first.script.behaviour = WELL
    outcomes = await world.outcomes(20)
    assert outcomes.pop("k7").status is Status.SUPPRESSED
    assert {s.status for s in outcomes.values()} == {Status.SENT}


async def test_what_expires_during_the_outage_is_expired(accounts: Accounts) -> None:
    accounts.first.script.behaviour = DOWN
    world = await accounts.world([accounts.entry("only", accounts.first)])
    world.start()
    dispatches = [world.sms(f"k{n}", f"user{n}") for n in range(9)]
    dispatches.append(world.sms("short", "user9", expires_at=dispatches[0].decided_at + 2000))
    await world.produce(*dispatches)
    await world.until(lambda: world.state("only") is not Circuit.CLOSED)
    await asyncio.sleep(2.5)
    accounts.first.script.behaviour = WELL
    outcomes = await world.outcomes(10)
    assert outcomes["short"].status is Status.EXPIRED


async def test_a_stop_does_not_wait_for_a_provider_that_is_down(accounts: Accounts) -> None:
    accounts.first.script.behaviour = DOWN
    world = await accounts.world([accounts.entry("only", accounts.first)])
    delivery = world.start()
    await world.produce(*(world.sms(f"k{n}", f"user{n}") for n in range(50)))
    await world.until(lambda: world.state("only") is not Circuit.CLOSED)
    await asyncio.wait_for(world.stop(delivery), 3)
    accounts.first.script.behaviour = WELL
    world.start()
    assert {s.status for s in (await world.outcomes(50)).values()} == {Status.SENT}
    assert sum(accounts.sent().values()) == 50


async def test_an_accounts_rate_is_kept_by_all_workers_together_and_costs_no_try(accounts: Accounts) -> None:
    world = await accounts.world([accounts.entry("only", accounts.first, rate=50, burst=5)])
    world.start()
    world.start()
    await world.produce(*(world.sms(f"k{n}", f"user{n}") for n in range(200)))
    outcomes = await world.outcomes(200)
    asked = accounts.first.asked
    assert {(s.status, s.attempt) for s in outcomes.values()} == {(Status.SENT, 1)}
    assert asked[-1] - asked[0] > (200 - 5) / 50 - 0.2
    busiest = max(sum(begin <= moment < begin + 1 for moment in asked) for begin in asked)
    assert busiest <= 2 * 50, "a slow machine uses places late, but never many more"


async def test_a_country_at_its_limit_delays_no_other_country(accounts: Accounts) -> None:
    world = await accounts.world(
        [accounts.entry("only", accounts.first)], sms={"country_rates": {"DE": 0.5}}, parking_limit=5
    )
    world.start()
    german = [f"+4915112345{n:03}" for n in range(20)]
    await world.produce(*(world.sms(f"de{n}", number) for n, number in enumerate(german)))
    await world.produce(*(world.sms(f"us{n}", f"user{n}") for n in range(50)))
    await world.until(lambda: sum(key.startswith("us") for key in world._outcomes()) == 50, 5)
    outcomes = await world.outcomes(70)
    by = {s.status for key, s in outcomes.items() if key.startswith("us")}
    assert by == {Status.SENT}
    sent = [key for key, s in outcomes.items() if key.startswith("de") and s.status is Status.SENT]
    later = [s for key, s in outcomes.items() if key.startswith("de") and s.status is Status.DEFERRED]
    assert 2 <= len(sent) <= 4, "within the parking limit of 5 s"
    assert {s.reason for s in later} == {Reason.THROTTLED}
