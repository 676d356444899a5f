"""What one simulated worker has in place of its clients."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from pipeline.channels.base import Part
from pipeline.delivery.takeover import Told
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import TERMINAL, WAITING, Channel
from pipeline.kafka.inbound import Offsets, Position
from pipeline.kafka.producer import Record
from pipeline.providers.base import Outcome, SendResult
from pipeline.storage.slots import Answer, Argument, Call
from pipeline.users.directory import Found as Users
from pipeline.users.snapshot import UserSnapshot
from tests.models.world import SETTINGS

if TYPE_CHECKING:
    from tests.models.node import Node

ANSWERS = {
    Outcome.ACCEPTED: 16, Outcome.TRANSIENT: 2, Outcome.THROTTLED: 1, Outcome.AMBIGUOUS: 2, Outcome.PERMANENT: 1
}  # fmt: skip


class SimulatedScript:
    def __init__(self, node: "Node", apply: Callable[[Call, Sequence[Argument]], Answer]) -> None:
        self._node = node
        self._apply = apply

    async def ask(self, calls: Sequence[Call], common: Sequence[Argument] = ()) -> list[Answer]:
        return await self._node.world.ask(self._node, lambda: [self._apply(call, common) for call in calls])

    async def tell(self, calls: Sequence[Call], common: Sequence[Argument] = ()) -> None:
        await self.ask(calls, common)


class NoRedis:
    def register_script(self, _text: str) -> None:
        """The scripts are replaced."""


class SimulatedEpoch:
    def __init__(self, node: "Node") -> None:
        self._node = node

    async def read(self) -> str:
        world = self._node.world
        await world.delay()
        await self._node.awake()
        if world.redis_away:
            raise ConnectionError("away")
        return world.epoch


class Tail:
    """The status topic, read by who takes a partition over."""

    def __init__(self, node: "Node") -> None:
        self._node = node

    async def read(self, _partition: int, _since: int) -> Told:
        await self._node.world.delay(0.5)
        await self._node.awake()
        return {
            notification: finals[-1]
            for notification, statuses in self._node.world.statuses.items()
            if (finals := [s for s in statuses if s.status in TERMINAL | WAITING])
        }


class SimulatedOutbox:
    """A producer. What it had in its buffer when its process died may or may not have arrived."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def send(self, record: Record, on_acknowledged: Callable[[], None]) -> None:
        await self._node.awake()
        asyncio.ensure_future(self._send(record, on_acknowledged)).add_done_callback(asyncio.Task.result)

    async def deliver(self, record: Record) -> None:
        acknowledged = asyncio.Event()
        await self.send(record, acknowledged.set)
        await acknowledged.wait()

    async def _send(self, record: Record, on_acknowledged: Callable[[], None]) -> None:
        world = self._node.world
        await world.delay(0.1)
        if self._node.dead.is_set() and world.rnd.random() < 0.5:
            return
        world.write(record)
        await world.delay()
        await self._node.awake()
        on_acknowledged()


class Sender:
    """A provider, as one worker calls it. What was sent arrives although the worker dies meanwhile, or may."""

    channel = Channel.PUSH
    repeat_is_harmless = False

    def __init__(self, node: "Node") -> None:
        self._node = node

    def prepare(self, _dispatch: Dispatch, _user: UserSnapshot) -> Sequence[Part]:
        return [Part(key="", payload=None)]

    async def send(self, dispatch: Dispatch, _part: Part) -> SendResult:
        world, rnd, user = self._node.world, self._node.world.rnd, dispatch.event.recipient_id
        world.call_begins(self._node, dispatch)
        (outcome,) = rnd.choices(list(ANSWERS), list(ANSWERS.values()))
        accepts = outcome is Outcome.ACCEPTED or (outcome is Outcome.AMBIGUOUS and rnd.random() < 0.5)
        before, after = rnd.uniform(0, 0.3), rnd.uniform(0, SETTINGS.provider_timeout - 0.5)
        try:
            await asyncio.sleep(before)
            world.accepted[dispatch.notification_id] += accepts
            accepts = False
            await asyncio.sleep(after)
        finally:
            world.accepted[dispatch.notification_id] += accepts and rnd.random() < 0.5
            if world.under_way.get(user) is self._node:
                del world.under_way[user]
        await self._node.awake()
        return SendResult(outcome=outcome, provider="p", message_id="m", error=outcome.name)

    async def prune(self, _dispatch: Dispatch, _part: Part, _result: SendResult) -> None: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class People:
    async def find(self, user_ids: Collection[str]) -> Users:
        return Users({i: UserSnapshot(user_id=i, version=1, known=True) for i in user_ids}, {})


class SimulatedSource:
    """A member's consumer: delivers what it owns, commits what it is told, asks before it lets go."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._positions: dict[int, int] = {}
        self._told_end: set[int] = set()
        self._due: dict[int, Position] = {}
        self._held: AbstractSet[int] = frozenset()
        self._out = 0
        self._stopping = False

    async def run(self) -> None:
        while not self._stopping:
            await self._node.world.delay(0.05)
            await self._node.awake()
            self._commit_what_is_due()
            self._deliver()
        if not self._node.dead.is_set():
            world = self._node.world
            await self.revoke({p for p, owner in world.owners.items() if owner is self._node})
            for p, owner in world.owners.items():
                world.owners[p] = None if owner is self._node else owner

    def stop(self) -> None:
        self._stopping = True

    def commit(self, offsets: Offsets) -> None:
        self._due.update(offsets)

    def hold(self, partitions: AbstractSet[int]) -> None:
        self._held = partitions

    def give_back(self, count: int = 1) -> None:
        self._out -= count

    def assign(self, partition: int) -> None:
        committed = self._node.world.committed.get(partition)
        self._positions[partition] = committed.offset if committed else 0
        self._told_end.discard(partition)
        self._node.engine.assigned({partition: committed})

    async def revoke(self, partitions: set[int]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)
            self._due.pop(partition, None)
        revoked = asyncio.ensure_future(self._node.engine.revoked(sorted(partitions)))
        died = asyncio.ensure_future(self._node.dead.wait())
        await asyncio.wait([revoked, died], return_when=asyncio.FIRST_COMPLETED)
        if revoked.done() and not self._node.dead.is_set():
            self._commit(revoked.result())
        for task in (revoked, died):
            task.cancel()

    def lose_everything(self) -> None:
        lost = sorted(self._positions)
        self._positions.clear()
        self._due.clear()
        self._node.engine.lost(lost)

    def _commit_what_is_due(self) -> None:
        due, self._due = self._due, {}
        self._commit({p: position for p, position in due.items() if p in self._positions})
        if due:
            self._node.engine.committed(sorted(due))

    def _commit(self, offsets: Mapping[int, Position]) -> None:
        for partition, position in offsets.items():
            if self._node.world.owners[partition] is self._node:
                self._node.world.commit(partition, position)

    def _deliver(self) -> None:
        world = self._node.world
        for partition in sorted(self._positions):
            at = self._positions[partition]
            room = SETTINGS.max_in_flight - self._out
            records = world.log[partition][at : at + min(room, world.rnd.randint(0, 5))]
            if partition in self._held or room <= 0 or not records:
                continue
            if partition not in self._told_end and partition in world.committed:
                self._told_end.add(partition)
                self._node.engine.ends({partition: len(world.log[partition])})
            self._positions[partition] = at + len(records)
            self._out += len(records)
            self._node.engine.received(records)
