"""The router on real servers: what it writes for what it reads, and what it does when a server is away or it dies."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from confluent_kafka import Message
from redis.asyncio import Redis

from pipeline.accounts.facts import event_of_decision
from pipeline.catalogue.loader import load_catalogue
from pipeline.config import KafkaSettings, RouterSettings
from pipeline.events.codec import Codec
from pipeline.events.records import Decision, DeliveryStatus, NotificationRequested
from pipeline.events.schemas import SchemaBook
from pipeline.events.vocabulary import Channel, Kind, Origin, Priority, Reason, Status, Verdict
from pipeline.kafka.client import producer_config
from pipeline.kafka.names import DECISIONS, DEFERRED, DELIVERY_STATUS, INGEST, INGEST_DLQ, Header, dispatch_topic
from pipeline.kafka.producer import AsyncProducer
from pipeline.kafka.reader import read_topics
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.routing.router import Router
from pipeline.routing.state import RouterState, cancel_key
from pipeline.storage.repositories import Repositories
from pipeline.storage.users import UserProfile
from pipeline.users.directory import UserDirectory
from pipeline.users.lookup import Lookup
from pipeline.users.snapshot import PreferenceRow

pytestmark = pytest.mark.broker

NOON = 1_790_000_000_000 // 86_400_000 * 86_400_000 + 12 * 3_600_000

CATALOGUE = """
version: test
defaults: {category: orders, template: generic}
categories:
  orders: {stream: transactional, consent: implied}
  social: {stream: transactional, consent: implied}
event_types:
  order.shipped:
    category: orders
    channels: [push, email, in_app]
    template: order_shipped
    schema: {type: object, required: [order_id], properties: {order_id: {type: string}}}
  social.comment:
    category: social
    channels: [in_app]
    template: comment
    caps: [{limit: 1, window: 5m, scope: [type], excess: drop}]
"""


@dataclass(frozen=True)
class Given:
    """One consumed record."""

    value: bytes | None
    offset: int
    key: bytes | None = None
    partition: int = 0
    topic: str = INGEST
    timestamp: int = NOON
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass
class World:
    """A router on real servers, and what came out of it."""

    router: Router
    people: Repositories
    codec: Codec
    kafka: KafkaSettings
    redis: Redis

    def record(self, event: NotificationRequested, offset: int) -> Given:
        return Given(self.codec.encode_event(event), offset, event.recipient_id.encode())

    def written(self, topic: str) -> list[Message]:
        return [message for batch in read_topics(self.kafka, [topic]) for message in batch]

    def decisions(self) -> list[Decision]:
        return [self.codec.decode_decision(m.value()) for m in self.written(DECISIONS)]

    def statuses(self) -> list[DeliveryStatus]:
        return [self.codec.decode_status(m.value()) for m in self.written(DELIVERY_STATUS)]


@pytest.fixture
async def world(
    empty_topics: KafkaSettings, redis: Redis, directory: UserDirectory, repositories: Repositories, tmp_path: Path
) -> AsyncIterator[World]:
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    settings, book = RouterSettings(), SchemaBook.from_lock()
    async with AsyncProducer(producer_config(empty_topics)) as producer:
        router = Router(
            settings=settings,
            catalogue=load_catalogue(catalogue),
            book=book,
            codec=Codec.open(book),
            state=RouterState(redis, Lookup(directory, Health()), settings),
            producer=producer,
            archivist=producer,
            health=Health(),
            metrics=Metrics(),
            clock=lambda: NOON,
        )
        yield World(router, repositories, Codec.open(book), empty_topics, redis)


def shipped(recipient: str, key: str = "k1", **changes: object) -> NotificationRequested:
    fields: dict[str, object] = {
        "event_id": f"evt-{key}",
        "event_type": "order.shipped",
        "recipient_id": recipient,
        "channels": [Channel.EMAIL, Channel.IN_APP],
        "priority": Priority.HIGH,
        "data": '{"order_id":"ORD-1"}',
        "idempotency_key": key,
        "created_at": NOON,
    }
    return NotificationRequested(**(fields | changes))  # type: ignore[arg-type]


async def known(world: World, user_id: str) -> str:
    await world.people.users.put(UserProfile(user_id=user_id, email=f"{user_id}@example.com"))
    return user_id


async def test_an_event_becomes_one_dispatch_for_each_channel_and_one_decision(world: World) -> None:
    await known(world, "ann")
    await world.router.route([world.record(shipped("ann"), 5)])
    (decision,) = world.decisions()
    assert [(c.channel, c.verdict) for c in decision.channels] == [
        (Channel.EMAIL, Verdict.DISPATCH),
        (Channel.IN_APP, Verdict.DISPATCH),
    ]
    assert (decision.partition, decision.offset) == (0, 5)
    for channel in (Channel.EMAIL, Channel.IN_APP):
        (message,) = world.written(dispatch_topic(channel, Priority.HIGH))
        assert message.key() == b"ann"
        assert world.codec.decode_dispatch(message.value()).event.data == '{"order_id":"ORD-1"}'
    assert world.statuses() == []


async def test_the_same_record_after_a_crash_leaves_the_same_decision_and_no_duplicate(world: World) -> None:
    await known(world, "ben")
    record = world.record(shipped("ben"), 9)
    await world.router.route([record])
    await world.router.route([record])
    first, second = world.decisions()
    assert [(c.channel, c.verdict, c.notification_id) for c in first.channels] == [
        (c.channel, c.verdict, c.notification_id) for c in second.channels
    ]
    assert first.decided_at == second.decided_at


async def test_another_record_with_the_same_key_is_a_duplicate_in_its_decision_alone(world: World) -> None:
    await known(world, "cam")
    again = shipped("cam", event_id="evt-other")
    await world.router.route([world.record(shipped("cam"), 1), world.record(again, 2)])
    await world.router.route([world.record(again, 3)])
    verdicts = [{c.verdict for c in d.channels} for d in world.decisions()]
    assert verdicts == [{Verdict.DISPATCH}, {Verdict.DUPLICATE}, {Verdict.DUPLICATE}]
    assert world.statuses() == []
    assert len(world.written(dispatch_topic(Channel.EMAIL, Priority.HIGH))) == 1


async def test_what_is_held_back_has_its_outcome_on_the_status_topic(world: World) -> None:
    await known(world, "dee")
    await world.people.preferences.set(
        "dee",
        [
            PreferenceRow("email", "order.shipped", False, None, None, "UTC"),
            PreferenceRow("in_app", "*", True, 11 * 3600, 13 * 3600, "UTC"),
        ],
    )
    await world.router.route([world.record(shipped("dee"), 1)])
    outcomes = {s.channel: (s.status, s.reason) for s in world.statuses()}
    assert outcomes == {
        Channel.EMAIL: (Status.SUPPRESSED, Reason.OPTED_OUT),
        Channel.IN_APP: (Status.DEFERRED, Reason.QUIET_HOURS),
    }
    (held,) = world.written(DEFERRED)
    assert world.codec.decode_deferred(held.value()).until == NOON + 3_600_000


async def test_a_preference_change_counts_for_the_next_event(world: World) -> None:
    await known(world, "eve")
    await world.router.route([world.record(shipped("eve", "k1"), 1)])
    await world.people.preferences.set("eve", [PreferenceRow("*", "*", False, None, None, "UTC")])
    await world.router.route([world.record(shipped("eve", "k2"), 2)])
    assert [d.channels[0].verdict for d in world.decisions()] == [Verdict.DISPATCH, Verdict.SUPPRESS]


async def test_a_cap_counts_within_a_chunk_and_from_chunk_to_chunk(world: World) -> None:
    await known(world, "fay")
    comments = [shipped("fay", f"c{i}", event_type="social.comment", channels=[]) for i in range(3)]
    await world.router.route([world.record(comments[0], 1), world.record(comments[1], 2)])
    await world.router.route([world.record(comments[2], 3)])
    reasons = [d.channels[0].reason for d in world.decisions()]
    assert reasons == [Reason.ALLOWED, Reason.FREQUENCY_CAP, Reason.FREQUENCY_CAP]


async def test_a_cancel_stops_a_request_that_comes_after_it_and_marks_one_that_came_before(world: World) -> None:
    await known(world, "gus")
    cancel = shipped("gus", kind=Kind.CANCEL, data="{}")
    await world.router.route([world.record(cancel, 1), world.record(shipped("gus"), 2)])
    assert {s.status for s in world.statuses()} == {Status.CANCELLED}
    assert await world.redis.exists(cancel_key("gus", "k1"))


async def test_an_unknown_recipient_is_suppressed_for_each_channel(world: World) -> None:
    await world.router.route([world.record(shipped("nobody"), 1)])
    assert {(s.status, s.reason) for s in world.statuses()} == {(Status.SUPPRESSED, Reason.UNKNOWN_RECIPIENT)}


async def test_what_cannot_be_read_goes_to_the_dead_letters_untouched_and_the_rest_goes_on(world: World) -> None:
    await known(world, "hal")
    bad = [None, b"", b"{}", b"\0\0\0\0\1x", b"\0\0\x7f\0\0rest", bytes(900_000)]
    refused = world.record(shipped("hal", "k9", data="{}"), 50)
    chunk = [Given(value, offset, b"k") for offset, value in enumerate(bad)]
    await world.router.route([*chunk, refused, world.record(shipped("hal"), 51)])
    letters = world.written(INGEST_DLQ)
    assert [m.value() for m in letters] == [*bad, refused.value]
    headers = [dict(m.headers() or []) for m in letters]
    assert [h["dlq.reason"] for h in headers] == [
        b"malformed", b"malformed", b"malformed", b"malformed", b"unknown_schema", b"malformed", b"invalid_data"
    ]  # fmt: skip
    assert [h["dlq.offset"] for h in headers] == [b"0", b"1", b"2", b"3", b"4", b"5", b"50"]
    assert all(h["dlq.error"] for h in headers)
    assert len(world.decisions()) == 1


async def test_the_trace_travels_to_dispatch_and_decision(world: World) -> None:
    await known(world, "ida")
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await world.router.route([replace(world.record(shipped("ida"), 1), headers=(("traceparent", trace),))])
    (message,) = world.written(dispatch_topic(Channel.EMAIL, Priority.HIGH))
    assert dict(message.headers() or [])["traceparent"] == trace
    assert world.decisions()[0].trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert world.codec.decode_dispatch(message.value()).trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_a_router_whose_redis_is_away_waits_and_goes_on(world: World) -> None:
    await known(world, "jon")
    await world.redis.client_pause(1500)
    routing = asyncio.create_task(world.router.route([world.record(shipped("jon"), 1)]))
    await asyncio.sleep(0.7)
    assert not routing.done()
    await routing
    assert len(world.decisions()) == 1


async def test_what_was_claimed_and_counted_lately_outlives_a_redis_that_is_emptied(world: World) -> None:
    await known(world, "kim")
    comments = [shipped("kim", f"c{i}", event_type="social.comment", channels=[]) for i in range(2)]
    await world.router.route([world.record(comments[0], 1)])
    await world.redis.flushall()
    await world.router.route([world.record(comments[0], 2), world.record(comments[1], 3)])
    reasons = [d.channels[0].reason for d in world.decisions()]
    assert reasons == [Reason.ALLOWED, Reason.DUPLICATE, Reason.FREQUENCY_CAP]


def released(world: World, event: NotificationRequested, offset: int, deferred_at: int) -> Given:
    headers = (("origin", b"released"), ("deferred.at", b"%d" % deferred_at), ("released.at", b"%d" % NOON))
    return replace(world.record(event, offset), headers=headers)


async def test_what_is_released_twice_after_a_crash_is_decided_once(world: World) -> None:
    await known(world, "kim")
    mail = shipped("kim", channels=[Channel.EMAIL])
    await world.router.route([world.record(mail, 1)])
    await world.router.route([released(world, mail, 2, NOON - 1)])
    await world.people.preferences.set("kim", [PreferenceRow("*", "*", False, None, None, "UTC")])
    await world.router.route([released(world, mail, 2, NOON - 1), released(world, mail, 3, NOON - 1)])
    await world.router.route([released(world, mail, 4, NOON - 1)])
    _, *rounds = world.decisions()
    assert {(d.decided_at, d.channels[0].verdict, d.channels[0].reason) for d in rounds} == {
        (NOON, Verdict.DISPATCH, Reason.ALLOWED)
    }
    await world.router.route([released(world, mail, 5, NOON + 7)])
    last = world.decisions()[-1]
    assert (last.channels[0].verdict, last.decided_at) == (Verdict.SUPPRESS, NOON + 8)


async def test_a_released_event_that_a_new_catalogue_refuses_waits_for_a_person(world: World) -> None:
    await known(world, "lea")
    bad = shipped("lea", channels=[Channel.EMAIL], data="{}")
    await world.router.route([released(world, bad, 2, NOON - 1)])
    assert [(s.status, s.reason, s.channel) for s in world.statuses()] == [
        (Status.DEAD_LETTERED, Reason.INVALID_DATA, Channel.EMAIL)
    ]
    assert len(world.written(INGEST_DLQ)) == 1


async def test_a_cancel_is_told_to_whoever_holds_what_waits(world: World) -> None:
    await world.router.route([world.record(shipped("max", kind=Kind.CANCEL, data="{}"), 1)])
    (told,) = (world.codec.decode_deferred(m.value()) for m in world.written(DEFERRED))
    assert (told.event.kind, told.reason, told.event.idempotency_key) == (Kind.CANCEL, Reason.CANCELLED, "k1")


def replayed(record: Given, offset: int, *headers: tuple[str, bytes]) -> Given:
    return replace(record, offset=offset, headers=((Header.ORIGIN, b"replayed"), *headers))


async def test_a_refused_event_that_is_replayed_claims_its_key_as_if_it_came_for_the_first_time(world: World) -> None:
    await known(world, "kim")
    record = world.record(shipped("kim"), 1)
    first = (Header.REPLAY_FIRST, b"true")
    await world.router.route([replayed(record, 5, first)])
    await world.router.route([replayed(record, 6, first), world.record(shipped("kim", event_id="evt-sent-anew"), 7)])
    decisions = world.decisions()
    assert [{c.verdict for c in d.channels} for d in decisions] == [
        {Verdict.DISPATCH},
        {Verdict.DUPLICATE},
        {Verdict.DUPLICATE},
    ]
    assert [d.origin for d in decisions] == [Origin.REPLAYED, Origin.REPLAYED, Origin.INGEST]
    assert [event_of_decision(d).what for d in decisions] == ["request", "duplicate", "duplicate"]
    assert len(world.written(dispatch_topic(Channel.EMAIL, Priority.HIGH))) == 1


async def test_the_history_of_a_dead_letter_goes_with_the_dispatch_that_its_replay_brings_about(world: World) -> None:
    await known(world, "lea")
    await world.router.route([world.record(shipped("lea"), 1)])
    one = replayed(world.record(shipped("lea", channels=[Channel.EMAIL]), 2), 2, ("dlq.reason", b"template_error"))
    await world.router.route([one])
    _, again = world.written(dispatch_topic(Channel.EMAIL, Priority.HIGH))
    assert dict(again.headers() or []) == {"dlq.reason": b"template_error"}
    assert [event_of_decision(d).what for d in world.decisions()] == ["request", "replayed"]
