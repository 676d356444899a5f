"""The delivery engine of one topic: takes records in, gives each user a lane, and says what may be committed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Protocol

from pipeline.config import DeliverySettings
from pipeline.delivery.commits import NOTHING_BEGUN, Commits
from pipeline.delivery.crowds import Crowds
from pipeline.delivery.fairness import Fairness
from pipeline.delivery.intake import Intake
from pipeline.delivery.keeper import Keeper
from pipeline.delivery.lanes import Lanes
from pipeline.delivery.observed import Observed
from pipeline.delivery.offset_map import decode
from pipeline.delivery.ports import Clock
from pipeline.delivery.work import Partition, Work
from pipeline.events.vocabulary import Priority
from pipeline.kafka.inbound import Inbound, Offsets, Position

logger = logging.getLogger(__name__)

Step = Callable[[Work], Awaitable[float | None]]
"""One step of one work: None once it has left the line, else the seconds that it waits at its place."""


class Source(Protocol):
    """Where records come from (`pipeline.kafka.source.KafkaSource`)."""

    async def run(self) -> None: ...

    def stop(self) -> None: ...

    def commit(self, offsets: Offsets) -> None: ...

    def hold(self, partitions: AbstractSet[int]) -> None: ...

    def give_back(self, count: int = 1) -> None: ...


class Engine:
    """Listens to one source. At most `concurrency` works are under way at once, and one of a user.

    A work is held from the moment that its record came until its outcome is acknowledged (`finished`) or its
    partition is gone. Only what is finished without a gap is committed; what has finished beyond a gap is written
    beside it, and while there is no room for that, the partition takes in nothing more.
    """

    def __init__(
        self,
        intake: Intake,
        step: Step,
        keeper: Keeper,
        settings: DeliverySettings,
        clock: Clock,
        observed: Observed,
        fairness: Fairness,
        priority: Priority,
    ) -> None:
        self._intake = intake
        self._keeper = keeper
        self._commits = Commits.of(settings, clock.now)
        self._step = step
        self._settings = settings
        self._clock = clock
        self._observed = observed
        self._fairness = fairness
        self._share = fairness.join(priority, settings.concurrency, settings.fetch_max_records, self._put_to_work)
        self._partitions: dict[int, Partition] = {}
        self._leaving: set[Partition] = set()
        self._held: frozenset[int] = frozenset()
        self._lanes: Lanes[Work] = Lanes()
        self._workers: set[asyncio.Task[None]] = set()
        self._crowds: Crowds[tuple[Partition, Inbound]] = Crowds(settings.user_share, settings.user_backlog)
        self._arrivals: asyncio.Queue[tuple[Partition, Inbound]] = asyncio.Queue()
        self._alarm: asyncio.TimerHandle | None = None
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def partitions(self) -> list[int]:
        """Those that are ours now."""
        return sorted(self._partitions)

    @property
    def in_flight(self) -> int:
        """Records of these partitions that are taken and not finished."""
        return sum(partition.held for partition in self._partitions.values())

    async def run(self, source: Source, broken: Awaitable[None]) -> None:
        """Deliver until the source ends; it ends by `Source.stop`.

        Raises:
            PipelineError: it cannot go on. What is not committed will be delivered by whoever comes next.
        """
        self._source = source
        reading = asyncio.ensure_future(source.run())
        watch = self._keeper.watch(self._settings.commit_interval, self._works)
        helpers = [asyncio.ensure_future(work) for work in (self._take_in(), self._commit_regularly(), watch)]
        watched = [reading, self._failure, asyncio.ensure_future(broken), *helpers]
        try:
            done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _end(helpers)
            if not reading.done():
                source.stop()
                with suppress(Exception):
                    await reading
            await _end(list(self._workers))
            self._fairness.leave(self._share)
            if self._alarm:
                self._alarm.cancel()

    def finished(self, partition: Partition, record: Inbound) -> None:
        """It needs nothing any more, not even after a restart."""
        partition.tracker.finished(record.offset)
        if (work := partition.works.pop(record.offset, None)) is not None:
            self._keeper.finished(work)
        self._let_go(partition, record)

    def assigned(self, partitions: Mapping[int, Position | None]) -> None:
        for number, position in partitions.items():
            memory = decode(position.metadata, position.offset) if position else None
            self._partitions[number] = Partition(number, memory)

    def received(self, records: Sequence[Inbound]) -> None:
        self._share.works()
        for record in records:
            partition = self._partitions.get(record.partition)
            if partition is None or not partition.tracker.started(record.offset):
                self._source.give_back()
                continue
            partition.hold()
            if partition.unopened is None:
                self._arrived(partition, record)
                continue
            partition.unopened.append(record)
            if partition.stamp is None:
                self._commit([partition])

    def ends(self, ends: Mapping[int, int]) -> None:
        for number, end in ends.items():
            partition = self._partitions.get(number)
            if partition is not None and partition.takeover is not None:
                partition.takeover.end = end

    def committed(self, partitions: Collection[int]) -> None:
        """From now on a successor knows that something may have been begun of these: it may begin."""
        for number in partitions:
            partition = self._partitions.get(number)
            if partition is not None and partition.unopened is not None:
                records, partition.unopened = partition.unopened, None
                for record in records:
                    self._arrived(partition, record)

    def _arrived(self, partition: Partition, record: Inbound) -> None:
        """It may be taken in, unless its user has too many on the way already."""
        arrival = (partition, record)
        aside = None if record.key is None else self._crowds.put(record.key, arrival)
        if aside is None:
            self._arrivals.put_nowait(arrival)
        elif not aside.counted:
            self._source.give_back()

    async def revoked(self, partitions: Collection[int]) -> dict[int, Position]:
        """Start nothing more of these, finish what is under way; what can be committed after the drain timeout."""
        leaving = self._leave(partitions)
        self._leaving.update(leaving)
        drained = asyncio.gather(*(partition.drained.wait() for partition in leaving))
        with suppress(TimeoutError):
            await asyncio.wait_for(drained, self._settings.drain_timeout)
        self._leaving.difference_update(leaving)
        return self._last_commits(leaving)

    def lost(self, partitions: Collection[int]) -> None:
        self._leave(partitions)

    def wake(self, count: int | None) -> None:
        """Let up to `count` (None: all) of the works that a circuit holds ask again."""
        if self._lanes.unpark(_is_held, count):
            self._put_to_work()

    def commit_refused(self, partitions: Collection[int]) -> None:
        """Each rebalance ends the generation under which a commit was asked for."""
        for number in partitions:
            if (partition := self._partitions.get(number)) is not None:
                partition.stamp = None

    def metadata_refused(self) -> None:
        limit = self._commits.refused()
        logger.error(
            "the broker takes less metadata with a commit than delivery.offset_metadata_max says: going on with %d; "
            "set it to the broker's offset.metadata.max.bytes",
            limit,
        )
        for partition in self._partitions.values():
            partition.stamp = None

    def _works(self) -> Iterator[Work]:
        """All that are looked up and not finished."""
        for partition in (*self._partitions.values(), *self._leaving):
            yield from partition.works.values()

    def _leave(self, numbers: Collection[int]) -> list[Partition]:
        leaving = [self._partitions.pop(number) for number in numbers if number in self._partitions]
        for partition in leaving:
            partition.leave()
            for _ in partition.unopened or ():
                partition.arrived()
                partition.let_go()
                self._source.give_back()
        dropped = self._crowds.drop(lambda arrival: arrival[0].gone)
        self._source.give_back(sum(aside.counted for aside in dropped))
        for work in self._lanes.drop(lambda work: work.partition.gone):
            self._abandon(work)
        return leaving

    def _abandon(self, work: Work) -> None:
        """Somebody else will go on with it."""
        work.partition.unclean |= work.begun
        self._let_go(work.partition, work.record)

    def _let_go(self, partition: Partition, record: Inbound) -> None:
        partition.let_go()
        self._source.give_back()
        for aside in [] if record.key is None else self._crowds.leave(record.key):
            if not aside.counted:
                self._source.give_back(-1)  # it takes room from now on
            self._arrivals.put_nowait(aside.item)

    async def _take_in(self) -> None:
        """One batch after the other, so that each user's records stay in order."""
        while True:
            batch = [await self._arrivals.get()]
            while not self._arrivals.empty() and len(batch) < self._share.batch():
                batch.append(self._arrivals.get_nowait())
            for work in await self._intake.read(batch, self._over):
                partition = work.partition
                partition.arrived()
                if partition.gone:
                    self._abandon(work)
                else:
                    partition.works[work.record.offset] = work
                    self._lanes.add(work.lane, work)
            self._put_to_work()
            await self._share.breathe(self._lanes.ready)

    def _over(self, partition: Partition, record: Inbound) -> None:
        partition.arrived()
        self.finished(partition, record)

    def _put_to_work(self) -> None:
        while len(self._workers) < self._share.limit() and (work := self._lanes.take()) is not None:
            worker = asyncio.get_running_loop().create_task(self._work_off(work))
            self._workers.add(worker)
            worker.add_done_callback(self._worked_off)

    async def _work_off(self, work: Work | None) -> None:
        while work is not None:
            seconds = await self._step(work)
            if work.partition.gone and seconds is not None:
                self._abandon(work)
                seconds = None
            if seconds is None:
                self._lanes.finish(work.lane)
            else:
                self._lanes.park(work.lane, self._clock.monotonic() + seconds)
                self._ring_later()
            work = self._lanes.take() if len(self._workers) <= self._share.limit() else None

    def _worked_off(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if not worker.cancelled() and (error := worker.exception()) and not self._failure.done():
            self._failure.set_exception(error)

    def _ring_later(self) -> None:
        """Wake the parked lanes when the first of them is due."""
        now = self._clock.monotonic()
        due = self._lanes.wake(now)
        if due is None:
            return
        if self._alarm:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_later(due - now, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._ring_later()
        self._put_to_work()

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._settings.commit_interval)
            self._commit(self._partitions.values())
            self._observed.in_flight.set(self.in_flight)
            self._observed.lanes_parked.set(self._lanes.parked)

    def _commit(self, partitions: Iterable[Partition]) -> None:
        """What has moved on since the last commit; and who may take in more."""
        if offsets := self._due(partitions, self._keeper.epoch):
            self._source.commit(offsets)
        held = frozenset(number for number, partition in self._partitions.items() if partition.cramped)
        if held != self._held:
            self._held = held
            self._source.hold(held)
            self._observed.partitions_held.set(len(held))

    def _last_commits(self, leaving: Collection[Partition]) -> dict[int, Position]:
        """Of what has drained and leaves nothing begun behind, the next holder knows all, whatever becomes of Redis."""
        clean = {partition for partition in leaving if partition.drained.is_set() and not partition.unclean}
        return {**self._due(clean, NOTHING_BEGUN), **self._due(set(leaving) - clean, self._keeper.epoch)}

    def _due(self, partitions: Iterable[Partition], epoch: str) -> dict[int, Position]:
        offsets: dict[int, Position] = {}
        for partition in partitions:
            takeover = partition.takeover
            if takeover is not None and takeover.is_over(partition.tracker.committable()):
                partition.takeover = None
            if partition.unopened:
                partition.stamp = None
            if (position := self._commits.due(partition, epoch)) is not None:
                offsets[partition.number] = position
        return offsets


def _is_held(work: Work) -> bool:
    return work.held_since is not None


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
