"""One worker, one topic, every kind of answer."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from pipeline.delivery.ledger import State
from pipeline.events.vocabulary import Origin, Reason, Status
from pipeline.kafka.names import DEFERRED, DELIVERY_STATUS, Header
from pipeline.kafka.tracing import header
from pipeline.providers.base import Outcome

if TYPE_CHECKING:
    from confluent_kafka import Message

    from tests.integration.delivery.conftest import World

pytestmark = pytest.mark.real_broker

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def header_of(message: "Message", name: str) -> str:
    value = header(message.headers(), name)  # type: ignore[arg-type]  # a list of names and bytes
    return (value or b"").decode()


async def test_every_notification_is_sent_once_accounted_and_committed(world: "World") -> None:
    world.start()
    await world.produce(*(world.dispatch(f"k{n}", f"user{n % 40}") for n in range(500)))
    outcomes = await world.outcomes(500)
    assert {s.status for s in outcomes.values()} == {Status.SENT}
    assert sorted(world.sender.keys_sent()) == sorted(f"k{n}" for n in range(500))
    first = outcomes["k0"]
    assert (first.reason, first.provider, first.provider_message_id) == (Reason.ACCEPTED, "scripted", "id of k0")
    assert (first.attempt, first.in_doubt, first.recipient_id) == (1, False, "user0")
    await world.settled()
    assert len(world.words()) == 500


async def test_a_users_order_is_kept_through_retries_and_nobody_else_waits(world: "World") -> None:
    world.start()
    world.sender.answers("ada1", Outcome.TRANSIENT, Outcome.TRANSIENT, Outcome.TRANSIENT)
    users = [("ada", n) for n in range(1, 6)] + [("bob", n) for n in range(1, 6)]
    await world.produce(*(world.dispatch(f"{user}{n}", user) for user, n in users))
    await world.outcomes(10)
    order = world.sender.keys_sent()
    assert [key for key in order if key.startswith("ada")] == ["ada1"] * 4 + ["ada2", "ada3", "ada4", "ada5"]
    assert [key for key in order if key.startswith("bob")] == ["bob1", "bob2", "bob3", "bob4", "bob5"]
    assert order.index("bob5") < order.index("ada2")
    assert world.words("ada1") == ["retrying", "retrying", "retrying", "sent"]


async def test_after_five_tries_it_is_a_dead_letter_and_a_replay_sends_it(world: "World") -> None:
    world.start()
    world.sender.answers("k", *[Outcome.TRANSIENT] * 5)
    dispatch = world.dispatch("k")
    await world.produce(dispatch, headers=[(Header.TRACEPARENT, TRACEPARENT)])
    status = (await world.outcomes(1))["k"]
    assert (status.status, status.reason, status.attempt) == (Status.DEAD_LETTERED, Reason.RETRIES_EXHAUSTED, 5)
    assert world.words("k") == ["retrying"] * 4 + ["dead_lettered"]
    [letter] = world.dead_letters()
    assert (letter.key(), letter.value()) == (b"ada", world.codec.encode_dispatch(dispatch))
    assert [header_of(letter, name) for name in (Header.DLQ_REASON, Header.DLQ_ATTEMPTS, Header.DLQ_TOPIC)] == [
        "retries_exhausted",
        "5",
        world.topic,
    ]
    assert header_of(letter, Header.TRACEPARENT) == TRACEPARENT
    assert header_of(world.records[DELIVERY_STATUS][-1], Header.TRACEPARENT) == TRACEPARENT
    await world.settled()

    await world.produce(dispatch)
    await world.settled()
    assert len(world.sender.sent) == 5, "the same record again is not a replay"
    await asyncio.sleep(0.01)
    await world.produce(dispatch, headers=[(Header.ORIGIN, Origin.REPLAYED)])
    await world.until(lambda: world.words("k")[-1] == "sent")
    assert len(world.sender.sent) == 6


async def test_throttling_waits_what_the_provider_asks_and_costs_no_try(world: "World") -> None:
    world.start()
    world.sender.answers("k", *[Outcome.THROTTLED] * 7, retry_after=0.02)
    await world.produce(world.dispatch("k"))
    status = (await world.outcomes(1))["k"]
    assert (status.status, status.attempt, len(world.sender.sent)) == (Status.SENT, 1, 8)
    assert world.words("k") == ["sent"]


async def test_a_long_wait_is_deferred_and_goes_on_once_the_router_decided_again(world: "World") -> None:
    world.start()
    world.sender.answers("k", Outcome.THROTTLED, retry_after=3600)
    dispatch = world.dispatch("k")
    await world.produce(dispatch, dispatch)
    status = (await world.outcomes(1))["k"]
    assert (status.status, status.reason) == (Status.DEFERRED, Reason.THROTTLED)
    await world.settled()
    [record] = world.records[DEFERRED]
    deferred = world.codec.decode_deferred(record.value())
    assert deferred.until == status.occurred_at + 3_600_000
    assert (deferred.stage, deferred.event) == ("delivery", dispatch.event)
    await world.produce(world.dispatch("k", decided_at=dispatch.decided_at + 1))
    await world.until(lambda: world.words("k") == ["deferred", "sent"])


async def test_a_lost_answer_is_flagged_and_marketing_waits_for_a_person(world: "World") -> None:
    world.start()
    world.sender.answers("t", Outcome.AMBIGUOUS)
    world.sender.answers("m", Outcome.AMBIGUOUS)
    world.sender.script["bug", "d"] = [RuntimeError("the sender has a bug")]
    await world.produce(
        world.dispatch("t", "ada"), world.dispatch("m", "bob", stream="marketing"), world.dispatch("bug", "cyd")
    )
    outcomes = await world.outcomes(3)
    transactional, bug = outcomes["t"], outcomes["bug"]
    assert (transactional.status, transactional.in_doubt, transactional.attempt) == (Status.SENT, True, 2)
    assert (bug.status, bug.in_doubt) == (Status.SENT, True)
    if world.priority == "critical":
        assert outcomes["m"].status is Status.SENT
    else:
        assert (outcomes["m"].status, outcomes["m"].reason) == (Status.DEAD_LETTERED, Reason.IN_DOUBT)
    assert outcomes["m"].in_doubt


async def test_what_cannot_be_read_goes_to_the_dead_letters_untouched_and_the_rest_goes_on(world: "World") -> None:
    world.start()
    await world.produce(world.dispatch("before"))
    await world.produce_bytes(b"ada", b"no avro", headers=[("custom", b"kept")])
    await world.produce_bytes(b"ada", b"\0\x7f\xff\xff\xffgarbage")
    await world.produce(world.dispatch("after"))
    await world.outcomes(2)
    await world.settled()
    letter, unknown = world.dead_letters()
    assert (letter.key(), letter.value()) == (b"ada", b"no avro")
    names = ("custom", Header.DLQ_REASON, Header.DLQ_ATTEMPTS, Header.DLQ_TOPIC)
    assert [header_of(letter, name) for name in names] == ["kept", "malformed", "0", world.topic]
    assert header_of(letter, Header.DLQ_ERROR)
    assert header_of(letter, Header.DLQ_AT)
    assert header_of(unknown, Header.DLQ_REASON) == "unknown_schema"


async def test_only_the_devices_that_failed_are_tried_again(world: "World") -> None:
    world.start()
    world.sender.devices = ["good", "dead", "slow"]
    world.sender.answers("k", Outcome.INVALID_RECIPIENT, device="dead")
    world.sender.answers("k", Outcome.TRANSIENT, device="slow")
    await world.produce(world.dispatch("k"))
    status = (await world.outcomes(1))["k"]
    assert (status.status, status.attempt) == (Status.SENT, 2)
    assert sorted(device for _, device in world.sender.sent) == ["dead", "good", "slow", "slow"]
    assert world.sender.pruned == ["dead"]


async def test_what_must_not_be_sent_any_more_ends_without_a_send(world: "World") -> None:
    world.people.missing.add("erased")
    cancelled = world.dispatch("cancelled", "bob")
    await world.redis.set(world.keys(cancelled).cancel, "1")
    await world.produce(world.dispatch("expired", expires_at=1), world.dispatch("gone", "erased"), cancelled)
    world.start()
    outcomes = await world.outcomes(3)
    assert {key: (s.status, s.reason) for key, s in outcomes.items()} == {
        "expired": (Status.EXPIRED, Reason.EXPIRED),
        "gone": (Status.SUPPRESSED, Reason.UNKNOWN_RECIPIENT),
        "cancelled": (Status.CANCELLED, Reason.CANCELLED),
    }
    assert world.sender.sent == []


async def test_a_cancel_reaches_what_waits_for_its_next_try(world: "World") -> None:
    world.start()
    dispatch = world.dispatch("k")
    world.sender.answers("k", Outcome.THROTTLED, retry_after=0.3)
    await world.produce(dispatch)
    await world.until(lambda: len(world.sender.sent) == 1)
    await world.redis.set(world.keys(dispatch).cancel, "1")
    assert (await world.outcomes(1))["k"].status is Status.CANCELLED
    assert len(world.sender.sent) == 1


async def test_a_record_routed_twice_is_sent_once(world: "World") -> None:
    dispatch = world.dispatch("k")
    await world.produce(dispatch, dispatch, dispatch)
    world.start()
    await world.settled()
    await world.outcomes(1)
    assert world.words("k") == ["sent"]
    assert len(world.sender.sent) == 1
    ledger = world.other_ledger()
    assert [found.state for found in await ledger.lease([world.keys(dispatch)])] == [State.ACCOUNTED]
