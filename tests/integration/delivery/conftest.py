"""Engines on real servers, with a provider that answers as a test says."""

import asyncio
import itertools
import secrets
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

import pytest
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic
from redis.asyncio import Redis

from pipeline.catalogue.model import InDoubt
from pipeline.channels.base import ChannelSender, Part
from pipeline.config import DeliverySettings, KafkaSettings, RedisSettings, Settings
from pipeline.delivery.assembly import Delivery, Shared
from pipeline.delivery.ledger import EntryKeys, Ledger, entry_keys
from pipeline.delivery.offset_map import Memory, decode
from pipeline.delivery.ports import Clock, Directory
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import DeliveryStatus, Dispatch, NotificationRequested
from pipeline.events.vocabulary import TERMINAL, WAITING, Channel, Origin, Priority
from pipeline.kafka.client import base_config, producer_config
from pipeline.kafka.group_protocol import choose_protocol
from pipeline.kafka.inbound import Inbound, Offsets, Position
from pipeline.kafka.names import ALL_TOPICS, DEFERRED, DELIVERY_STATUS, channel_dlq, dispatch_topic, worker_group
from pipeline.kafka.producer import AsyncProducer, Headers, Record
from pipeline.kafka.reader import partition_of
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.providers.base import Outcome, SendResult
from pipeline.storage.redis import open_redis
from pipeline.users.directory import Found
from pipeline.users.snapshot import UserSnapshot

PARTITIONS = 4
PATIENCE = 30.0
PROVIDER = "scripted"

_lines = itertools.cycle(itertools.product(Channel, Priority))


class ScriptedSender:
    """A channel whose provider answers by script, else accepts. A notification has a part for each of `devices`.

    What is `hanging` (by idempotency key) has reached the provider, and waits for its answer.
    """

    repeat_is_harmless = False

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.devices = ["d"]
        self.seconds = 0.0
        self.open = asyncio.Event()
        self.open.set()
        self.hanging: set[str] = set()
        self._answering = asyncio.Event()
        self.script: dict[tuple[str, str], list[SendResult | Exception]] = defaultdict(list)
        self.sent: list[tuple[str, str]] = []
        self.answered: list[str] = []
        self.pruned: list[str] = []
        self._under_way: set[tuple[str, str]] = set()

    def answers(self, key: str, *outcomes: Outcome, device: str = "d", retry_after: float | None = None) -> None:
        """What the provider will say about the notification with this idempotency key, try by try."""
        self.script[key, device] += [
            SendResult(outcome=o, provider=PROVIDER, error=o.name.lower(), retry_after=retry_after) for o in outcomes
        ]

    def keys_sent(self) -> list[str]:
        return [key for key, _ in self.sent]

    def prepare(self, dispatch: Dispatch, user: UserSnapshot) -> Sequence[Part]:
        return [Part(key=device, payload=None) for device in self.devices]

    async def send(self, dispatch: Dispatch, part: Part) -> SendResult:
        key, lane = dispatch.event.idempotency_key, (dispatch.event.recipient_id, part.key)
        assert lane not in self._under_way, "two notifications of one user at once"
        self._under_way.add(lane)
        self.sent.append((key, part.key))
        await asyncio.sleep(self.seconds)
        await self.open.wait()
        if key in self.hanging:
            await self._answering.wait()
        self._under_way.discard(lane)
        self.answered.append(key)
        script = self.script[key, part.key]
        said = script.pop(0) if script else None
        if isinstance(said, Exception):
            raise said
        return said or SendResult(outcome=Outcome.ACCEPTED, provider=PROVIDER, message_id=f"id of {key}")

    def answer_all(self) -> None:
        """Nothing hangs any more."""
        self.hanging.clear()
        self._answering.set()

    def forget_what_is_under_way(self) -> None:
        self._under_way.clear()

    async def prune(self, dispatch: Dispatch, part: Part, result: SendResult) -> None:
        self.pruned.append(part.key)

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class People:
    """Knows everybody but the `missing`."""

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self.away = False

    async def find(self, user_ids: Collection[str]) -> Found:
        if self.away:
            return Found({}, {})
        return Found({i: UserSnapshot(user_id=i, version=1, known=i not in self.missing) for i in user_ids}, {})


class Deaf:
    """The ear of a worker that is not there any more."""

    def assigned(self, partitions: Mapping[int, Position | None]) -> None: ...

    def received(self, records: Sequence[Inbound]) -> None: ...

    async def revoked(self, partitions: Sequence[int]) -> Offsets:
        return {}

    def lost(self, partitions: Sequence[int]) -> None: ...

    def ends(self, ends: Mapping[int, int]) -> None: ...

    def committed(self, partitions: Sequence[int]) -> None: ...

    def commit_refused(self, partitions: Sequence[int]) -> None: ...

    def metadata_refused(self) -> None: ...


class World:
    """One dispatch topic, whoever reads it, and what came out since the test began."""

    def __init__(
        self,
        settings: Settings,
        redis: Redis,
        producer: AsyncProducer,
        line: tuple[Channel, Priority] | None = None,
    ) -> None:
        self.channel, self.priority = line or next(_lines)
        self.settings = settings
        self.redis = redis
        self.codec = Codec.open()
        self.sender = ScriptedSender(self.channel)
        self.chain: ChannelSender = self.sender
        self.people = People()
        self.directory: Directory = self.people
        self.health = Health()
        self.metrics = Metrics()
        self.topic = dispatch_topic(self.channel, self.priority)
        self._producer = producer
        self.protocol = choose_protocol(settings.kafka)
        self.in_doubt: dict[str, InDoubt] = {}
        self._running: dict[Delivery, asyncio.Task[None]] = {}
        self._reader = Consumer({**base_config(settings.kafka), "group.id": "reader", "enable.auto.commit": False})
        group = worker_group(self.channel, self.priority)
        self._group = Consumer({**base_config(settings.kafka), "group.id": group, "enable.auto.commit": False})
        self._outputs = [DELIVERY_STATUS, DEFERRED, channel_dlq(self.channel)]
        self.records: dict[str, list[Message]] = {topic: [] for topic in self._outputs}
        self._skip_what_is_there()

    def dispatch(self, key: str, user: str = "ada", **changes: object) -> Dispatch:
        now = now_ms()
        event = NotificationRequested(
            event_id=str(uuid.uuid4()),
            event_type="order.shipped",
            recipient_id=user,
            channels=[],
            priority=None,
            data="{}",
            idempotency_key=key,
            created_at=now,
            source="tests",
        )
        fields: dict[str, object] = {
            "notification_id": notification_id(key, user, self.channel),
            "channel": self.channel,
            "priority": self.priority,
            "category": "orders",
            "stream": "transactional",
            "template": "order_shipped",
            "collapse_key": None,
            "expires_at": None,
            "rule": "default",
            "policy_version": "1",
            "decided_at": now,
            "origin": Origin.INGEST,
            "trace_id": "",
            "event": event,
        }
        return Dispatch(**{**fields, **changes})  # type: ignore[arg-type]  # the fields of a Dispatch, by name

    async def produce(self, *dispatches: Dispatch, headers: Headers | None = None) -> None:
        await self._producer.send_all(
            [
                Record(self.topic, d.event.recipient_id.encode(), self.codec.encode_dispatch(d), headers)
                for d in dispatches
            ]
        )

    async def produce_bytes(self, key: bytes, value: bytes, headers: Headers | None = None) -> None:
        await self._producer.send_all([Record(self.topic, key, value, headers)])

    def start(self, **changes: object) -> Delivery:
        """Another worker on the topic; `changes` are to its delivery settings."""
        delivery_settings = self.settings.delivery.model_copy(update=changes)
        shared = Shared(
            settings=self.settings.model_copy(update={"delivery": delivery_settings}),
            sender=self.chain,
            codec=self.codec,
            producer=self._producer,
            redis=self.redis,
            directory=self.directory,
            health=self.health,
            metrics=self.metrics,
            clock=Clock(now=now_ms, monotonic=asyncio.get_running_loop().time),
            token=lambda: secrets.token_hex(8),
            random=lambda: 0.0,
            in_doubt=self.in_doubt,
        )
        delivery = Delivery(shared, self.priority, self.protocol)
        self._running[delivery] = asyncio.ensure_future(delivery.run())
        return delivery

    async def stop(self, delivery: Delivery) -> None:
        delivery.stop()
        await self._running.pop(delivery)

    async def vanish(self, delivery: Delivery) -> None:
        """As if it were killed: it commits, writes and sends nothing more. Its group hears of it at once."""
        run = self._running.pop(delivery)
        delivery._source._listener = Deaf()
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        self.sender.forget_what_is_under_way()

    async def close(self) -> None:
        self.sender.answer_all()
        for delivery in list(self._running):
            await self.stop(delivery)
        self._reader.close()
        self._group.close()

    def other_ledger(self) -> Ledger:
        """The ledger as a worker that is not there any more saw it."""
        settings = self.settings.delivery
        return Ledger(
            self.redis, Health(), token=secrets.token_hex(8), retention=settings.retention, lease=settings.lease
        )

    def keys(self, dispatch: Dispatch) -> EntryKeys:
        event = dispatch.event
        return entry_keys(event.recipient_id, dispatch.notification_id, event.idempotency_key)

    async def until(self, reached: Callable[[], bool], patience: float = PATIENCE) -> None:
        deadline = time.monotonic() + patience
        while not reached():
            assert time.monotonic() < deadline, f"not reached; statuses: {Counter(self.words())}, lag {self.lag()}"
            self._read()
            for run in self._running.values():
                if run.done():
                    run.result()
            await asyncio.sleep(0.01)

    async def outcomes(self, count: int) -> dict[str, DeliveryStatus]:
        """Wait for the outcome of so many notifications; by idempotency key, the last one of each."""
        await self.until(lambda: len(self._outcomes()) >= count)
        return self._outcomes()

    async def settled(self) -> None:
        """Wait until every record of the topic is finished and committed."""
        await self.until(lambda: self.lag() == 0)

    def statuses(self) -> list[DeliveryStatus]:
        return [self.codec.decode_status(message.value()) for message in self.records[DELIVERY_STATUS]]

    def words(self, key: str | None = None) -> list[str]:
        return [f"{s.status}" for s in self.statuses() if key in (None, s.idempotency_key)]

    def dead_letters(self) -> list[Message]:
        return self.records[channel_dlq(self.channel)]

    def people_of(self, partition: int, count: int) -> list[str]:
        """So many users whose records lie in that partition of the topic."""
        names = (f"user{number}" for number in itertools.count())
        return list(itertools.islice((n for n in names if partition_of(n.encode(), PARTITIONS) == partition), count))

    def committed(self, partition: int) -> tuple[int, Memory | None]:
        """What the group has committed, and what stands beside it."""
        [answer] = self._group.committed([TopicPartition(self.topic, partition)], timeout=10)
        return answer.offset, decode(answer.metadata, answer.offset)

    def lag(self) -> int:
        ends = self._ends(self.topic)
        committed = self._group.committed(ends, timeout=10)
        return sum(end.offset - max(0, done.offset) for done, end in zip(committed, ends, strict=True))

    def _outcomes(self) -> dict[str, DeliveryStatus]:
        return {s.idempotency_key: s for s in self.statuses() if s.status in TERMINAL | WAITING}

    def _read(self) -> None:
        for message in self._reader.consume(1000, 0):
            if message.error() is None:
                self.records[message.topic() or ""].append(message)

    def _skip_what_is_there(self) -> None:
        """Other tests have used these topics."""
        self._reader.assign([end for topic in self._outputs for end in self._ends(topic)])
        deadline = time.monotonic() + 2 * PATIENCE
        while True:
            try:
                self._group.commit(offsets=self._ends(self.topic), asynchronous=False)
                return
            except KafkaException:  # a member that is gone, and that the group has not missed yet
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def _ends(self, topic: str) -> list[TopicPartition]:
        numbers = sorted(self._group.list_topics(topic, timeout=10).topics[topic].partitions)
        return [TopicPartition(topic, number, self._end(topic, number)) for number in numbers]

    def _end(self, topic: str, partition: int) -> int:
        """Of a topic that may have been created a moment ago. (Asked of a consumer whose connection no fetch holds.)"""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._group.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
            except KafkaException:
                assert time.monotonic() < deadline
                time.sleep(0.1)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def topics(kafka_settings: KafkaSettings) -> None:
    """All are there, and the dispatch topics have their partitions: other tests make them anew with fewer."""
    admin = AdminClient(base_config(kafka_settings))
    there = admin.list_topics(timeout=10).topics
    dispatch = {dispatch_topic(c, p) for c in Channel for p in Priority}
    missing = sorted(set(ALL_TOPICS) - set(there))
    new = [NewTopic(topic, PARTITIONS if topic in dispatch else 1, 1) for topic in missing]
    for created in admin.create_topics(new, operation_timeout=10).values() if new else ():
        created.result()
    few = sorted(topic for topic in dispatch & set(there) if len(there[topic].partitions) < PARTITIONS)
    more = [NewPartitions(topic, PARTITIONS) for topic in few]
    for added in admin.create_partitions(more, operation_timeout=10).values() if more else ():
        added.result()


@pytest.fixture
async def world(kafka_settings: KafkaSettings, redis_url: str, topics: None) -> AsyncIterator[World]:
    settings = Settings(
        kafka=kafka_settings,
        redis=RedisSettings(url=redis_url),
        delivery=DeliverySettings(
            backoff_base=0.05,
            lease=1,
            provider_timeout=0.9,
            commit_interval=0.05,
            drain_timeout=5,
            max_in_flight=400,
            concurrency=50,
        ),
    )
    async with (
        open_redis(settings.redis) as redis,
        AsyncProducer(producer_config(settings.kafka)) as producer,
    ):
        world = World(settings, redis, producer)
        yield world
        await world.close()
