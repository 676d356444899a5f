"""Two accounts, of which the first does not do what it should."""

import time
from collections.abc import AsyncIterator, Callable

import pytest

from pipeline.config import KafkaSettings
from pipeline.events.vocabulary import Reason, Status
from pipeline.providers.breaker import Circuit
from pipeline.testing.behaviour import Behaviour, Fault
from tests.integration.delivery.accounts import Accounts

pytestmark = pytest.mark.real_broker

MESSAGES = 300
Trouble = Callable[[Accounts], dict[str, str]]


def dead(accounts: Accounts) -> dict[str, str]:
    return {"base_url": "http://127.0.0.1:1"}


def behaves(behaviour: Behaviour) -> Trouble:
    def trouble(accounts: Accounts) -> dict[str, str]:
        accounts.first.script.behaviour = behaviour
        return {}

    return trouble


TROUBLES: dict[str, tuple[Trouble, Reason]] = {
    "dead": (dead, Reason.PROVIDER_UNAVAILABLE),
    "failing": (behaves(Behaviour(faults={Fault.UNAVAILABLE: 1.0})), Reason.PROVIDER_UNAVAILABLE),
    "slow": (behaves(Behaviour(delay_ms=20_000)), Reason.PROVIDER_UNAVAILABLE),
    "throttling": (behaves(Behaviour(faults={Fault.THROTTLED: 1.0}, retry_after=60)), Reason.THROTTLED),
    "answering 401": (behaves(Behaviour(faults={Fault.CONFIGURATION: 1.0})), Reason.PROVIDER_CONFIGURATION),
}


@pytest.fixture
async def accounts(kafka_settings: KafkaSettings, redis_url: str, topics: None) -> AsyncIterator[Accounts]:
    async with Accounts(kafka_settings, redis_url) as accounts:
        yield accounts


@pytest.mark.parametrize("what", TROUBLES)
async def test_the_second_account_takes_over_and_nothing_is_lost_or_sent_twice_unflagged(
    accounts: Accounts, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trouble, reason = TROUBLES[what]
    first = accounts.entry("first", accounts.first, settings=trouble(accounts))
    world = await accounts.world([first, accounts.entry("second", accounts.second)])
    delivery = world.start()
    await world.until(lambda: bool(delivery.partitions))
    began = time.monotonic()
    await world.produce(*(world.sms(f"k{n}", f"user{n % 100}") for n in range(MESSAGES)))
    outcomes = await world.outcomes(MESSAGES)
    finished = time.monotonic()
    await world.settled()
    with capsys.disabled():
        switched = accounts.second.asked[0] - began
        text = f"first {what}: the second asked after {switched:.2f} s, all sent after {finished - began:.2f} s"
        print(f"\n  {text}")  # noqa: T201 - a figure for whoever looks on
    assert {s.status for s in outcomes.values()} == {Status.SENT}
    assert {s.provider for s in outcomes.values()} == {"second"}
    assert {s.attempt for s in outcomes.values()} == {1}, "going on to the next account costs no try"
    sent = accounts.sent()
    flagged = {s.notification_id for s in outcomes.values() if s.in_doubt}
    assert set(sent) == {s.notification_id for s in outcomes.values()}
    assert not {notification for notification, count in sent.items() if count > 1} - flagged
    assert bool(flagged) is (what == "slow")
    failures = {(s.provider, s.reason) for s in world.statuses() if s.status is Status.RETRYING}
    assert failures == {("first", reason)}
    assert world.state("first") is Circuit.OPEN
    assert world.metric("circuit_state", provider="first") == 2
    assert world.metric("circuit_state", provider="second") == 0


async def test_the_first_account_is_used_again_once_it_is_well(accounts: Accounts) -> None:
    accounts.first.script.behaviour = Behaviour(faults={Fault.UNAVAILABLE: 1.0})
    world = await accounts.world(accounts.both())
    world.start()
    await world.produce(*(world.sms(f"k{n}", f"user{n}") for n in range(20)))
    await world.outcomes(20)
    accounts.first.script.behaviour = Behaviour()
    for n in range(20, 60):
        await world.produce(world.sms(f"k{n}", f"user{n}"))
        await world.outcomes(n + 1)
        if world.state("first") is Circuit.CLOSED:
            break
    await world.produce(world.sms("last"))
    assert (await world.outcomes(n + 2))["last"].provider == "first"


async def test_with_both_down_everything_waits_and_nothing_is_used_up(accounts: Accounts) -> None:
    for carrier in (accounts.first, accounts.second):
        carrier.script.behaviour = Behaviour(faults={Fault.UNAVAILABLE: 1.0})
    world = await accounts.world(accounts.both())
    world.start()
    await world.produce(*(world.sms(f"k{n}", f"user{n}") for n in range(100)))
    await world.until(lambda: world.state("second") is Circuit.OPEN and len(accounts.first.asked) > 8)
    accounts.second.script.behaviour = Behaviour()
    outcomes = await world.outcomes(100)
    assert {s.status for s in outcomes.values()} == {Status.SENT}
    assert world.waits() == 0
    assert sum(accounts.sent().values()) == 100


async def test_marketing_does_not_move_on_after_an_answer_that_was_lost(accounts: Accounts) -> None:
    accounts.first.script.behaviour = Behaviour(faults={Fault.RESET_AFTER: 1.0})
    world = await accounts.world(accounts.both())
    world.start()
    await world.produce(world.sms("m", "user1", stream="marketing"), world.sms("t", "user2"))
    outcomes = await world.outcomes(2)
    assert (outcomes["m"].status, outcomes["m"].reason) == (Status.DEAD_LETTERED, Reason.IN_DOUBT)
    assert (outcomes["t"].status, outcomes["t"].provider, outcomes["t"].in_doubt) == (Status.SENT, "second", True)
    assert accounts.second.received.accepted == 1


async def test_streams_and_weights_say_who_begins(accounts: Accounts) -> None:
    world = await accounts.world(
        [
            accounts.entry("bulk", accounts.first, streams=("marketing",)),
            accounts.entry("light", accounts.second, weight=1, streams=("transactional",)),
            accounts.entry("heavy", accounts.second, weight=3, streams=("transactional",)),
        ]
    )
    world.start()
    await world.produce(
        *(world.sms(f"t{n}", f"user{n}") for n in range(200)),
        *(world.sms(f"m{n}", f"user{n}", stream="marketing") for n in range(20)),
    )
    outcomes = await world.outcomes(220)
    by = {name: sum(s.provider == name for s in outcomes.values()) for name in ("bulk", "light", "heavy")}
    assert by["bulk"] == 20
    assert 25 <= by["light"] <= 80, "about a quarter of 200"
    assert by["heavy"] == 200 - by["light"]


async def test_no_call_outlasts_its_lease(accounts: Accounts) -> None:
    """Both answer late; what is in doubt is in doubt before anybody else may take it over."""
    for carrier in (accounts.first, accounts.second):
        carrier.script.behaviour = Behaviour(delay_ms=20_000)
    world = await accounts.world(accounts.both(), lease=3, provider_timeout=2)
    world.start()
    await world.produce(world.sms("k"))
    await world.until(lambda: len(accounts.first.asked) == 1)
    began = time.monotonic()
    await world.until(lambda: "retrying" in world.words("k"))
    assert time.monotonic() - began < 3
    assert len(accounts.second.asked) == 0, "there was no time for another call under that lease"


async def test_what_stands_in_the_way_of_others_leaves_the_line(accounts: Accounts) -> None:
    """Marketing has an account of its own, which is down; the topic is shared."""
    accounts.first.script.behaviour = Behaviour(faults={Fault.UNAVAILABLE: 1.0})
    world = await accounts.world(
        [
            accounts.entry("bulk", accounts.first, streams=("marketing",)),
            accounts.entry("rest", accounts.second, streams=("transactional",)),
        ],
        max_in_flight=40,
        fetch_max_records=10,
    )
    world.start()
    await world.produce(*(world.sms(f"m{n}", f"user{n}", stream="marketing") for n in range(200)))
    await world.produce(*(world.sms(f"t{n}", f"user{n}") for n in range(300, 350)))
    await world.until(lambda: accounts.second.received.accepted == 50)
    deferred = [s for s in world.statuses() if s.status is Status.DEFERRED]
    assert {s.reason for s in deferred} == {Reason.PROVIDER_UNAVAILABLE}
    assert len(deferred) < 200, "some still wait in line"
