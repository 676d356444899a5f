"""Router, scheduler, inbox and store on real servers: step after step, until somebody has seen it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from pipeline.accounts.story import Story, read_story
from pipeline.catalogue.loader import load_catalogue
from pipeline.catalogue.model import Catalogue
from pipeline.cli.explain import tell
from pipeline.config import KafkaSettings, PaceSettings, RouterSettings, SchedulerSettings, Settings
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import DeliveryStatus, Dispatch, NotificationRequested
from pipeline.events.schemas import SchemaBook
from pipeline.events.vocabulary import TERMINAL, Channel, Kind, Priority, Reason, Status
from pipeline.kafka.client import producer_config
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import DEFERRED, DELIVERY_STATUS, DISPATCH_TOPICS, INGEST
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.kafka.producer import Batch as ProducedBatch
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.routing.router import Router
from pipeline.routing.state import RouterState
from pipeline.scheduler import waiting
from pipeline.scheduler.parcel import Parcel
from pipeline.scheduler.releaser import Releaser
from pipeline.scheduler.times import instant
from pipeline.scheduler.upkeep import Upkeep
from pipeline.storage.inbox import Inbox, InboxItem
from pipeline.storage.inbox_reader import InboxReader
from pipeline.storage.postgres import Pool
from pipeline.storage.repositories import Repositories
from pipeline.storage.users import UserProfile
from pipeline.store.rows import event_row
from pipeline.store.upkeep import add_days
from pipeline.store.writer import Batch, Writer
from pipeline.users.directory import UserDirectory
from pipeline.users.lookup import Lookup
from pipeline.users.snapshot import PreferenceRow

pytestmark = pytest.mark.broker

NOON = 1_790_000_000_000 // 86_400_000 * 86_400_000 + 12 * 3_600_000
MINUTE = 60_000
EMAIL, SMS, IN_APP = Channel.EMAIL, Channel.SMS, Channel.IN_APP

CATALOGUE = """
version: test
defaults: {category: service}
categories: {service: {}}
event_types:
  alert:
    category: service
    channels: [in_app, email, sms]
    steps:
      - {channel: email, after: 10m}
      - {channel: sms, after: 1h, unless: [seen, clicked]}
  invoice:
    category: service
    channels: [email, sms]
    steps: [{channel: sms, after: 5m, when: failed}]
"""


class Recorder(AsyncProducer):
    """A producer that also notes what it handed over, so that a test need not read twenty topics after each step."""

    def __init__(self, kafka: KafkaSettings) -> None:
        super().__init__(producer_config(kafka))
        self.new: list[Record] = []

    async def hand_over(self, records: Sequence[Record]) -> ProducedBatch:
        self.new += records
        return await super().hand_over(records)


@dataclass(frozen=True)
class Given:
    """One record for the router."""

    value: bytes | None
    offset: int
    key: bytes | None
    headers: list[tuple[str, bytes]]
    partition: int = 0
    timestamp: int = NOON
    topic: str = INGEST


@dataclass
class World:
    """Router, scheduler, inbox and store, run by hand with one clock; delivery is `_deliver`."""

    kafka: KafkaSettings
    pool: Pool
    codec: Codec
    catalogue: Catalogue
    producer: Recorder
    people: Repositories
    router: Router
    clock: list[int]
    has_store: bool = True
    went: defaultdict[str, list[tuple[Channel, int]]] = field(default_factory=lambda: defaultdict(list))
    """For each user the channels that were delivered, and the minutes after noon."""
    offset: int = 0

    async def send(self, user: str, event_type: str = "alert", kind: Kind = Kind.REQUEST) -> None:
        await self.people.users.put(UserProfile(user_id=user, email=f"{user}@example.com", phone="+447700900000"))
        event = NotificationRequested(
            event_id=f"evt-{user}", event_type=event_type, recipient_id=user, channels=[], priority=None, data="{}",
            idempotency_key=f"key-{user}", created_at=NOON, kind=kind,
        )  # fmt: skip
        await self.producer.send_all([Record(INGEST, user.encode(), self.codec.encode_event(event))])
        await self.work()

    async def at(self, minute: float) -> None:
        """Let it be so many minutes after noon, and let everybody work until nothing is left to do."""
        self.clock[0] = NOON + int(minute * MINUTE)
        await self.work()

    async def work(self) -> None:
        await self._release()
        while self.producer.new:
            new, self.producer.new = self.producer.new, []
            await self._route([r for r in new if r.topic == INGEST])
            await self._wait([r for r in new if r.topic == DEFERRED])
            for record in new:
                if record.topic in DISPATCH_TOPICS:
                    await self._deliver(self.codec.decode_dispatch(record.value))
            await self._release()

    async def _route(self, records: Sequence[Record]) -> None:
        for r in records:
            self.offset += 1
            headers = [(k, v.encode() if isinstance(v, str) else v or b"") for k, v in r.headers or []]
            await self.router.route([Given(r.value, self.offset, r.key, headers)])

    async def _wait(self, records: Sequence[Record]) -> None:
        parcel = Parcel()
        for r in records:
            self.offset += 1
            inbound = Inbound(0, self.offset, r.key, r.value, [], self.clock[0])
            parcel.add(self.codec.decode_deferred(r.value), inbound, self.catalogue, 0)
        async with self.pool.acquire() as connection, connection.transaction():
            await waiting.add(connection, parcel.waits)
            await waiting.cancel(connection, parcel.cancels)

    async def _release(self) -> None:
        settings = SchedulerSettings(pace=PaceSettings(push=0, email=0, sms=0, in_app=0), jitter=0)
        parts = (settings, Health(), Metrics(), lambda: self.clock[0], asyncio.Event(), self.catalogue)
        await Releaser(self.pool, self.codec, self.producer, *parts).tick()

    async def _deliver(self, d: Dispatch) -> None:
        user, event = d.event.recipient_id, d.event
        self.went[user].append((d.channel, (self.clock[0] - NOON) // MINUTE))
        if d.channel is IN_APP:
            item = InboxItem(
                notification_id=d.notification_id, user_id=user, event_type=event.event_type, category=d.category,
                title="", body="", created_at=event.created_at,
            )  # fmt: skip
            await Inbox(self.pool).add([item])
        await self.tell(user, d.channel, Status.SENT)

    async def tell(self, user: str, channel: Channel, word: Status) -> None:
        """A status, onto its topic and into the store."""
        told = DeliveryStatus(
            notification_id=notification_id(f"key-{user}", user, channel), event_id=f"evt-{user}",
            idempotency_key=f"key-{user}", recipient_id=user, event_type="alert", category="service", source="",
            channel=channel, priority=Priority.NORMAL, status=word, reason=Reason.ACCEPTED, rule="allowed",
            policy_version="", provider="test", provider_message_id="", attempt=1, in_doubt=False,
            occurred_at=self.clock[0] + 5, created_at=NOON, trace_id="",
        )  # fmt: skip
        await self.producer.send_all([Record(DELIVERY_STATUS, user.encode(), self.codec.encode_status(told))])
        if self.has_store:
            await Writer(self.pool).write(Batch([(event_row(told), 0)]))

    async def read_inbox(self, user: str) -> None:
        await InboxReader(self.pool).mark(user, None)

    def story(self, user: str) -> Story:
        return read_story(Settings(kafka=self.kafka), f"evt-{user}", user, self.codec)

    def ends(self, user: str) -> dict[str, tuple[str, str]]:
        """Status and reason of each channel; fails where one is not at its end, or has two."""
        story = self.story(user)
        assert {c.state for c in story.channels} == {"terminal"}
        assert len([s for s in story.statuses if s.status in TERMINAL]) == len(story.channels)
        return {c.channel: (c.status, c.reason) for c in story.channels}


@pytest.fixture
async def world(
    empty_topics: KafkaSettings,
    pool: Pool,
    redis: Redis,
    directory: UserDirectory,
    repositories: Repositories,
    tmp_path: Path,
) -> AsyncIterator[World]:
    path = tmp_path / "catalogue.yaml"
    path.write_text(CATALOGUE)
    clock, catalogue, book = [NOON], load_catalogue(path), SchemaBook.from_lock()
    codec = Codec.open(book)
    async with Recorder(empty_topics) as producer:
        router = Router(
            settings=RouterSettings(), catalogue=catalogue, book=book, codec=codec,
            state=RouterState(redis, Lookup(directory, Health()), RouterSettings()),
            producer=producer, archivist=producer, health=Health(), metrics=Metrics(), clock=lambda: clock[0],
        )  # fmt: skip
        await Upkeep(pool, SchedulerSettings(), Health(), lambda: clock[0]).once()
        await add_days(pool, instant(NOON).date(), instant(NOON).date() + timedelta(days=2))
        yield World(empty_topics, pool, codec, catalogue, producer, repositories, router, clock)


SENT, SEEN = ("sent", "accepted"), ("cancelled", "seen")


async def test_it_goes_from_step_to_step_until_it_is_seen_and_every_channel_has_one_end(world: World) -> None:
    for user in ("never", "reader", "opener", "regretted"):
        await world.send(user)
        assert world.went[user] == [(IN_APP, 0)]
    for user in ("bounced", "arrived"):
        await world.send(user, "invoice")
    await world.send("regretted", kind=Kind.CANCEL)
    await world.at(4)
    await world.read_inbox("reader")
    await world.tell("bounced", EMAIL, Status.BOUNCED)
    for minute in (5, 9.9, 10, 11):
        await world.at(minute)
    await world.tell("opener", EMAIL, Status.OPENED)
    for minute in (69.9, 70, 71, 600):
        await world.at(minute)
    assert world.went["never"] == [(IN_APP, 0), (EMAIL, 10), (SMS, 70)]
    assert world.ends("never") == {"in_app": SENT, "email": SENT, "sms": SENT}
    assert world.went["reader"] == [(IN_APP, 0)]
    assert world.ends("reader") == {"in_app": SENT, "email": SEEN, "sms": SEEN}
    assert world.went["opener"] == [(IN_APP, 0), (EMAIL, 10)]
    assert world.ends("opener") == {"in_app": SENT, "email": SENT, "sms": SEEN}
    assert world.ends("regretted")["sms"] == ("cancelled", "cancelled")
    assert world.went["bounced"] == [(EMAIL, 0), (SMS, 5)]
    assert world.ends("arrived") == {"email": SENT, "sms": ("cancelled", "not_needed")}
    told = "\n".join(tell(world.story("reader")))
    assert "deferred  email: It is a later step: it waits to see whether the steps before it are enough." in told
    assert "cancelled sms: The recipient had seen it on another channel before this step was due." in told
    assert '"enough":"in_app"' in told


async def test_what_holds_up_a_step_holds_up_the_next_and_each_is_asked_anew(world: World) -> None:
    for user in ("asleep", "awake"):
        await world.people.preferences.set(user, [PreferenceRow("email", "*", None, 12 * 3600, 14 * 3600, "UTC")])
        await world.send(user)
    await world.send("outage")
    await world.at(71)  # nothing was released for an hour: email and SMS are overdue together
    await world.read_inbox("awake")
    for minute in (119, 120, 130.9, 131, 179.9, 180.1, 600):
        await world.at(minute)
    assert world.went["asleep"] == [(IN_APP, 0), (EMAIL, 120), (SMS, 180)]
    assert world.went["awake"] == [(IN_APP, 0)]
    assert world.ends("awake") == {"in_app": SENT, "email": SEEN, "sms": SEEN}
    assert world.went["outage"] == [(IN_APP, 0), (EMAIL, 71), (SMS, 131)]


async def test_without_a_store_reads_in_the_inbox_count_and_nothing_goes_round(world: World) -> None:
    world.has_store = False
    for user in ("never", "reader"):
        await world.send(user)
    await world.at(10)
    await world.read_inbox("reader")
    await world.at(70)
    assert world.went["never"] == [(IN_APP, 0), (EMAIL, 10), (SMS, 70)]
    assert world.ends("reader") == {"in_app": SENT, "email": SENT, "sms": SEEN}
    assert [d.origin for d in world.story("never").decisions] == ["ingest", "released", "released"]
