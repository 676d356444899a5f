"""One worker of the simulation: a real engine, wired as `pipeline.delivery.assembly` does, on simulated clients."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from prometheus_client import CollectorRegistry

from pipeline.channels.ungated import Ungated
from pipeline.delivery.courier import Courier
from pipeline.delivery.engine import Engine
from pipeline.delivery.epoch import Epoch
from pipeline.delivery.fairness import Fairness
from pipeline.delivery.intake import Intake
from pipeline.delivery.keeper import Keeper
from pipeline.delivery.ledger import Ledger, State
from pipeline.delivery.observed import Observed
from pipeline.delivery.outbox import Outbox
from pipeline.delivery.ports import Clock
from pipeline.delivery.reporter import Reporter
from pipeline.delivery.retry import RetryPolicy
from pipeline.delivery.strangers import Strangers
from pipeline.delivery.told import StatusTail
from pipeline.delivery.work import Partition
from pipeline.events.vocabulary import Channel, Priority
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import dispatch_topic
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.storage.slots import Answer, Argument, Call
from tests.models.fakes import (
    NoRedis,
    People,
    Sender,
    SimulatedEpoch,
    SimulatedOutbox,
    SimulatedScript,
    SimulatedSource,
    Tail,
)
from tests.models.world import SETTINGS, World


class Node:
    """One worker. It may be killed (`kill`), stand still (`freeze`), or stop in order (`leave`)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.token = world.new_id()
        self.dead = asyncio.Event()
        self._running = asyncio.Event()
        self._running.set()
        self.is_member = True
        health, metrics = Health(), Metrics(CollectorRegistry())
        clock = Clock(now=world.now, monotonic=world.loop.time)
        sender = Sender(self)
        observed = Observed(metrics, sender, Priority.NORMAL)
        ledger = self._ledger(health)
        outbox = cast("Outbox", SimulatedOutbox(self))
        reporter = Reporter(
            outbox, world.codec, ledger, observed, Channel.PUSH, dispatch_topic(Channel.PUSH, Priority.NORMAL)
        )
        policy = RetryPolicy.of(SETTINGS, world.rnd.random)
        courier = Courier(
            sender, Ungated(sender), ledger, reporter, observed, policy, clock, self._finished,
            room=SETTINGS.max_in_flight // 2, hold=policy.time_to_send / 2, in_doubt={},
        )  # fmt: skip
        epoch = cast("Epoch", SimulatedEpoch(self))
        intake = Intake(world.codec, People(), ledger, epoch, cast("StatusTail", Tail(self)), reporter, clock, health)
        strangers, keeper = Strangers(People(), courier.step, clock), Keeper(epoch, ledger)
        self.engine = Engine(intake, strangers.step, keeper, SETTINGS, clock, observed, Fairness(), Priority.NORMAL)
        self.source = SimulatedSource(self)
        self.task = asyncio.ensure_future(self.engine.run(self.source, outbox.broken))

    def _ledger(self, health: Health) -> Ledger:
        ledger: Any = Ledger(cast("Any", NoRedis()), health, token=self.token, retention=3600, lease=SETTINGS.lease)
        model = self.world.model

        def lease(call: Call, common: Sequence[Argument]) -> Answer:
            found = model.lease(self.token, int(cast("bytes", common[1]), 16), *call.keys)
            body = found.body if found.state is not State.SENDING else b"%d" % round(found.busy_for * 1000)
            return found.state.encode() + (b"1" if found.cancelled else b"0") + body

        def move(call: Call, _common: Sequence[Argument]) -> Answer:
            text = cast("bytes", call.arguments[0])
            origins = {State(letter) for letter in text[:3].decode().strip()}
            return int(
                model.move(self.token, int(text[4:14], 16), call.keys[0], origins, State(text[3:4].decode()), text[14:])
            )

        def restore(call: Call, _common: Sequence[Argument]) -> Answer:
            text = cast("bytes", call.arguments[0])
            model.restore(self.token, call.keys[0], State(text[:1].decode()), text[1:])
            return 1

        ledger._lease_script = SimulatedScript(self, lease)
        ledger._move_script = SimulatedScript(self, move)
        ledger._restore_script = SimulatedScript(self, restore)
        return cast("Ledger", ledger)

    def _finished(self, partition: Partition, record: Inbound) -> None:
        self.engine.finished(partition, record)

    async def awake(self) -> None:
        """Returns when the process is running; never, if it was killed."""
        if self.dead.is_set():
            await asyncio.Event().wait()
        await self._running.wait()

    def kill(self) -> None:
        """Nothing that it does has an effect any more, but that requests on their way to the provider arrive."""
        self.dead.set()
        self.is_member = False
        self.world.nodes.remove(self)

    async def leave(self) -> None:
        self.is_member = False
        self.source.stop()
        await self.task
        self.world.nodes.remove(self)

    async def freeze(self, seconds: float) -> None:
        """Longer than the group waits: its partitions are another's when it wakes."""
        self._running.clear()
        self.is_member = False
        await self.world.rebalance()
        await asyncio.sleep(seconds)
        self._running.set()
        if not self.dead.is_set():
            self.source.lose_everything()
            self.is_member = True
            await self.world.rebalance()

    async def give_up(self, partitions: set[int]) -> None:
        if partitions and not self.dead.is_set() and self._running.is_set():
            await self.source.revoke(partitions)
