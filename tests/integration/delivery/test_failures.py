"""Workers that vanish, come and go, and a Redis that does."""

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pipeline.delivery.entry import Closed, Final, Progress, encode
from pipeline.delivery.ledger import Ledger, Move, State
from pipeline.delivery.outcomes import final_status
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Reason, Status
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.providers.base import Outcome

if TYPE_CHECKING:
    from pipeline.embedded.valkey import Valkey
    from tests.integration.delivery.conftest import World

pytestmark = pytest.mark.real_broker


async def leased(world: "World", ledger: Ledger, dispatch: Dispatch) -> None:
    await ledger.lease([world.keys(dispatch)])


async def sending(world: "World", ledger: Ledger, dispatch: Dispatch, **progress: object) -> None:
    await leased(world, ledger, dispatch)
    body = encode(Progress(dispatch.decided_at, **{"attempts": 1, **progress}))  # type: ignore[arg-type]
    assert await ledger.start(world.keys(dispatch), State.LEASED, body) is Move.MADE


async def done(world: "World", ledger: Ledger, dispatch: Dispatch, final: Final) -> None:
    await sending(world, ledger, dispatch)
    body = encode(Closed(Progress(dispatch.decided_at, attempts=1), final))
    assert await ledger.close(world.keys(dispatch), State.LEASED, body)


async def test_a_crash_at_any_point_loses_nothing_and_flags_only_what_is_in_doubt(world: "World") -> None:
    vanished = world.other_ledger()
    final = Final(Status.SENT, Reason.ACCEPTED, "scripted", "before the crash", 1, False, 1_700_000_000_000)
    steps = {name: world.dispatch(name, name) for name in ("nothing", "leased", "sending", "done", "accounted")}
    await leased(world, vanished, steps["leased"])
    await sending(world, vanished, steps["sending"])
    await done(world, vanished, steps["done"], final)
    await done(world, vanished, steps["accounted"], final)
    vanished.account(world.keys(steps["accounted"]), None)
    await vanished.flush()
    await world.produce(*steps.values())
    world.start()
    outcomes = await world.outcomes(4)
    await world.settled()
    assert {key: (s.status, s.in_doubt, s.attempt) for key, s in outcomes.items()} == {
        "nothing": (Status.SENT, False, 1),
        "leased": (Status.SENT, False, 1),
        "sending": (Status.SENT, True, 2),
        "done": (Status.SENT, False, 1),
    }
    assert sorted(world.sender.keys_sent()) == ["leased", "nothing", "sending"]
    [again] = [m.value() for m in world.records[DELIVERY_STATUS] if b"before the crash" in (m.value() or b"")]
    assert again == world.codec.encode_status(final_status(steps["done"], final))


async def test_a_crash_keeps_the_tries_made_and_the_devices_that_accepted(world: "World") -> None:
    world.sender.devices = ["d", "e"]
    vanished = world.other_ledger()
    parts, tries = world.dispatch("parts", "ada"), world.dispatch("tries", "bob")
    await sending(world, vanished, parts)
    progress = Progress(parts.decided_at, attempts=1, accepted=("d",), provider="scripted", message_id="first")
    assert await vanished.release(world.keys(parts), encode(progress))
    await sending(world, vanished, tries, attempts=5)
    await world.produce(parts, tries)
    world.start()
    outcomes = await world.outcomes(2)
    assert world.sender.sent == [("parts", "e")]
    assert (outcomes["parts"].attempt, outcomes["parts"].provider_message_id) == (2, "first")
    assert (outcomes["tries"].status, outcomes["tries"].reason) == (Status.DEAD_LETTERED, Reason.RETRIES_EXHAUSTED)
    assert outcomes["tries"].in_doubt


async def test_what_another_is_sending_is_waited_for_and_not_sent(world: "World") -> None:
    other = world.other_ledger()
    dispatch = world.dispatch("k")
    await sending(world, other, dispatch)
    await world.produce(dispatch, world.dispatch("next"))
    world.start()
    await asyncio.sleep(0.5)
    assert world.sender.sent == []
    final = Final(Status.SENT, Reason.ACCEPTED, "scripted", "", 1, False, 1_700_000_000_000)
    assert await other.close(world.keys(dispatch), State.LEASED, encode(Closed(Progress(0), final)))
    await world.outcomes(2)
    assert world.sender.keys_sent() == ["next"]


async def test_a_worker_that_lost_its_lease_does_not_send(world: "World") -> None:
    zombie, heir = world.other_ledger(), world.other_ledger()
    dispatch = world.dispatch("k")
    await leased(world, zombie, dispatch)
    await leased(world, heir, dispatch)
    body = encode(Progress(1, attempts=1))
    assert await zombie.start(world.keys(dispatch), State.LEASED, body) is Move.REFUSED
    assert await heir.start(world.keys(dispatch), State.LEASED, body) is Move.MADE
    assert not await zombie.release(world.keys(dispatch), body)
    assert not await zombie.close(world.keys(dispatch), State.LEASED, body)


@pytest.mark.parametrize("seconds", [0.0, 0.02])
async def test_a_worker_that_joins_and_one_that_leaves_neither_lose_nor_repeat(world: "World", seconds: float) -> None:
    world.sender.seconds = seconds
    workers = [world.start()]
    batches = [
        [world.dispatch(f"k{n}", f"user{n % 97}") for n in range(start, start + 50)] for start in range(0, 2000, 50)
    ]
    for number, batch in enumerate(batches):
        if number == 10:
            workers.append(world.start())
        if number == 20:
            await world.until(lambda: all(worker.partitions for worker in workers))
        if number == 30:
            await world.stop(workers[0])
        await world.produce(*batch)
        await world.until(lambda number=number: len(world.sender.sent) >= number * 50 - 200)  # type: ignore[misc]
    outcomes = await world.outcomes(2000)
    await world.settled()
    assert {s.status for s in outcomes.values()} == {Status.SENT}
    assert [key for key, count in Counter(world.sender.keys_sent()).items() if count > 1] == []
    assert not any(s.in_doubt for s in outcomes.values())


async def test_a_stop_finishes_what_is_under_way_and_leaves_the_rest(world: "World") -> None:
    world.sender.seconds = 0.3
    worker = world.start()
    await world.produce(*(world.dispatch(f"k{n}", "ada") for n in range(20)))
    await world.until(lambda: len(world.sender.sent) == 1)
    await world.stop(worker)
    await world.until(lambda: world.words() == ["sent"])
    assert (len(world.sender.sent), world.lag()) == (1, 19)
    world.sender.seconds = 0
    world.start()
    outcomes = await world.outcomes(20)
    assert world.sender.keys_sent() == [f"k{n}" for n in range(20)]
    assert not any(s.in_doubt for s in outcomes.values())


async def test_a_redis_that_stands_still_is_waited_for(world: "World") -> None:
    world.start()
    await world.produce(*(world.dispatch(f"before{n}", f"user{n}") for n in range(50)))
    await world.outcomes(50)
    await world.redis.client_pause(2000, all=True)
    await world.produce(*(world.dispatch(f"during{n}", f"user{n}") for n in range(200)))
    outcomes = await world.outcomes(250)
    assert len(world.sender.sent) == 250
    assert not any(s.in_doubt for s in outcomes.values())


async def test_a_redis_that_comes_back_empty_loses_nothing(world: "World", valkey: "Valkey") -> None:
    if valkey.server is None:
        pytest.skip("this Redis is not ours to stop")
    world.sender.seconds = 0.05
    world.sender.answers("k0", Outcome.TRANSIENT)
    world.start()
    await world.produce(*(world.dispatch(f"k{n}", f"user{n}") for n in range(300)))
    await world.until(lambda: len(world.sender.sent) > 100)
    await asyncio.to_thread(valkey.server.kill)
    await world.until(lambda: "redis" in world.health.report()["missing"])
    sent = len(world.sender.sent)
    await asyncio.sleep(0.5)
    assert len(world.sender.sent) == sent, "nothing is sent without the ledger"
    await asyncio.to_thread(valkey.server.start)
    outcomes = await world.outcomes(300)
    await world.settled()
    assert {s.status for s in outcomes.values()} == {Status.SENT}
    assert [key for key, count in Counter(world.sender.keys_sent()).items() if count > 1] == ["k0"]
    assert world.health.report()["missing"] == []


async def test_a_provider_that_hangs_fills_the_engine_to_its_limit_and_no_further(world: "World") -> None:
    """Long enough that partitions are paused; another worker joins meanwhile."""
    world.sender.open.clear()
    first = world.start()
    await world.produce(*(world.dispatch(f"k{n}", f"user{n}") for n in range(1500)))
    await world.until(lambda: first.in_flight > 200)
    await asyncio.sleep(2)
    limit = world.settings.delivery.max_in_flight
    assert first.in_flight <= limit
    world.sender.open.set()
    second = world.start()
    outcomes = await world.outcomes(1500)
    await world.settled()
    assert (first.in_flight, second.in_flight) == (0, 0)
    assert {s.status for s in outcomes.values()} == {Status.SENT}
    assert len(world.sender.sent) == 1500


async def test_a_stop_does_not_wait_for_a_directory_that_is_away(world: "World") -> None:
    world.people.away = True
    worker = world.start()
    await world.produce(world.dispatch("k"))
    await world.until(lambda: worker.in_flight == 1)
    await asyncio.wait_for(world.stop(worker), world.settings.delivery.drain_timeout / 2)
    world.people.away = False
    world.start()
    assert (await world.outcomes(1))["k"].status is Status.SENT
