"""The servers around the engines, simulated: the topic, the group, Redis, the provider; and what must hold of them."""

import asyncio
import random
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.config import DeliverySettings
from pipeline.delivery.ledger import State, entry_keys
from pipeline.delivery.offset_map import decode
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import DeliveryStatus, Dispatch, NotificationRequested
from pipeline.events.vocabulary import TERMINAL, WAITING, Channel, Origin, Priority, Status
from pipeline.kafka.inbound import Inbound, Position
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.producer import Record
from pipeline.storage.slots import Answer
from tests.models.ledger import LedgerModel
from tests.models.virtual_time import VirtualLoop

if TYPE_CHECKING:
    from tests.models.node import Node

EPOCH = 1_790_000_000_000
PARTITIONS = 3
USERS = 7
SETTINGS = DeliverySettings(
    lease=6,
    provider_timeout=2,
    backoff_base=0.2,
    commit_interval=0.2,
    drain_timeout=1,
    max_in_flight=20,
    concurrency=5,
    fetch_max_records=8,
)


class World:
    """The topic, the group, Redis and the provider, and what they have seen. Checks what must hold at every moment.

    Where Redis was emptied just before its worker died or stood still, nobody knows of a request that is on its way: then
    another may be made at once, and a user's order may be lost. That it is flagged is checked then, too.
    """

    def __init__(self, seed: int, loop: VirtualLoop, *, forgetful: bool) -> None:
        self.rnd = random.Random(seed)
        self.loop = loop
        self.forgetful = forgetful
        self.codec = Codec.open()
        self.log: list[list[Inbound]] = [[] for _ in range(PARTITIONS)]
        self.dispatches: dict[str, Dispatch] = {}
        self.offsets: dict[str, int] = {}
        self.statuses: dict[str, list[DeliveryStatus]] = defaultdict(list)
        self.finals: dict[str, set[bytes]] = defaultdict(set)
        self.accepted: Counter[str] = Counter()
        self.violations: list[str] = []
        self.under_way: dict[str, Node] = {}
        self.last_called: dict[str, int] = {}
        self.committed: dict[int, Position] = {}
        self.owners: dict[int, Node | None] = dict.fromkeys(range(PARTITIONS))
        self.nodes: list[Node] = []
        self.model = LedgerModel(int(SETTINGS.lease * 1000))
        self.epoch = self.new_id()
        self.redis_away = False
        self.emptied = False
        self._rebalancing = asyncio.Lock()

    def new_id(self) -> str:
        return f"{self.rnd.getrandbits(64):016x}"

    def now(self) -> int:
        return EPOCH + int(self.loop.time() * 1000)

    async def delay(self, most: float = 0.02) -> None:
        await asyncio.sleep(self.rnd.uniform(0, most))

    # The topic

    def produce(self) -> None:
        number, user = len(self.dispatches), f"user{self.rnd.randrange(USERS)}"
        event = NotificationRequested(
            event_id=str(uuid.UUID(int=self.rnd.getrandbits(128))),
            event_type="t",
            recipient_id=user,
            channels=[],
            priority=None,
            data="{}",
            idempotency_key=f"k{number}",
            created_at=self.now(),
        )
        marketing = self.rnd.random() < 0.2
        dispatch = Dispatch(
            notification_id=notification_id(event.idempotency_key, user, Channel.PUSH),
            channel=Channel.PUSH,
            priority=Priority.NORMAL,
            category="news" if marketing else "orders",
            stream="marketing" if marketing else "transactional",
            template="t",
            collapse_key=None,
            expires_at=None,
            rule="allowed",
            policy_version="1",
            decided_at=self.now(),
            origin=Origin.INGEST,
            trace_id="",
            event=event,
        )
        partition = int(user.removeprefix("user")) % PARTITIONS
        log = self.log[partition]
        self.dispatches[dispatch.notification_id] = dispatch
        self.offsets[dispatch.notification_id] = len(log)
        value = self.codec.encode_dispatch(dispatch)
        log.append(Inbound(partition, len(log), user.encode(), value, [], self.now()))

    def write(self, record: Record) -> None:
        """A record that the broker has."""
        if record.topic == DELIVERY_STATUS:
            status = self.codec.decode_status(record.value)
            self.statuses[status.notification_id].append(status)
            if status.status in TERMINAL | WAITING:
                self.finals[status.notification_id].add(record.value or b"")

    # The group

    def commit(self, partition: int, position: Position) -> None:
        """Only what has ended, and whose status is in Kafka, may be said to be finished."""
        memory = decode(position.metadata, position.offset)
        beyond = [n for span in memory.finished for n in range(span.start, span.stop)] if memory else []
        for offset in (*range(position.offset), *beyond):
            notification = self.codec.decode_dispatch(self.log[partition][offset].value).notification_id
            assert self.finals[notification], f"committed without an outcome: {partition}/{offset}"
        self.committed[partition] = position

    async def rebalance(self) -> None:
        """Each partition to a member at random. Who leaves drains first; who does not hear of it loses it."""
        async with self._rebalancing:
            members = [node for node in self.nodes if node.is_member]
            plan = {p: self.rnd.choice(members) if members else None for p in range(PARTITIONS)}
            moved = {p for p, node in plan.items() if self.owners[p] is not node}
            for node in list(self.nodes):
                await node.give_up({p for p in moved if self.owners[p] is node})
            for p in moved:
                self.owners[p] = None
            for p in sorted(moved):
                new = plan[p]
                if new is not None and new.is_member:
                    self.owners[p] = new
                    new.source.assign(p)

    # Redis

    async def ask(self, node: "Node", run: Callable[[], list[Answer]]) -> list[Answer]:
        """A script call: it may not reach the server, its answer may be lost, it may be carried out again much later."""
        await self.delay()
        await node.awake()
        if self.redis_away:
            await asyncio.sleep(0.1)
            raise ConnectionError("away")
        fate = self.rnd.random()
        if fate < 0.02:
            self.loop.call_later(self.rnd.uniform(0, 3), self.run_late, run)
        if fate < 0.01:
            raise ConnectionError("no answer")
        answers = self.run_now(run)
        await self.delay()
        await node.awake()
        if fate > 0.99:
            raise ConnectionError("the answer got lost")
        return answers

    def run_now(self, run: Callable[[], list[Answer]]) -> list[Answer]:
        self.model.now = self.now()
        return run()

    def run_late(self, run: Callable[[], list[Answer]]) -> None:
        if not self.redis_away:
            self.run_now(run)

    def empty_redis(self) -> None:
        self.model.lose_everything()
        self.epoch = self.new_id()
        self.emptied = True

    # The provider

    def expect(self, holds: bool, otherwise: str) -> None:
        """Noted rather than raised: who calls the provider takes what it raises for a lost answer."""
        if not holds:
            self.violations.append(f"{otherwise}, at {self.loop.time():g} s")

    def call_begins(self, node: "Node", dispatch: Dispatch) -> None:
        user, notification = dispatch.event.recipient_id, dispatch.notification_id
        keys = entry_keys(user, notification, dispatch.event.idempotency_key)
        entry = self.model.entries.get(keys.entry)
        leased = entry is not None and (entry.state, entry.token) == (State.SENDING, node.token)
        self.expect(leased or (self.emptied and entry is None), f"sent without a lease: {entry}")
        other = self.under_way.get(user)
        self.expect(other is None or (self.emptied and not other.is_member), f"two calls for {user} at once")
        in_order = self.offsets[notification] >= self.last_called.get(user, 0)
        self.expect(self.emptied or in_order, f"{user} out of order")
        self.last_called[user] = self.offsets[notification]
        self.under_way[user] = node

    # The end

    @property
    def quiet(self) -> bool:
        return all(
            (self.committed[p].offset if p in self.committed else 0) == len(log) for p, log in enumerate(self.log)
        )

    def judge(self) -> None:
        """Nothing is lost, nothing sent twice blindly, and the statuses say what the provider has seen."""
        assert not self.violations, self.violations
        for notification in self.dispatches:
            statuses, accepted = self.statuses[notification], self.accepted[notification]
            finals = [s for s in statuses if s.status in TERMINAL | WAITING]
            doubted = any(status.in_doubt for status in statuses)
            assert finals, f"lost: {notification}"
            assert self.emptied or len(self.finals[notification]) == 1, f"two ends: {finals}"
            assert accepted <= 1 or doubted, f"a blind duplicate: {statuses}"
            said_sent = any(status.status is Status.SENT for status in finals)
            assert doubted or said_sent == bool(accepted), f"{accepted} accepted, and said: {statuses}"
