"""The delivery engine of one topic: takes records in, gives each user a lane, and says what may be committed."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from pipeline.config import DeliverySettings
from pipeline.delivery.crowds import Crowds
from pipeline.delivery.intake import Intake
from pipeline.delivery.lanes import Lanes
from pipeline.delivery.observed import Observed
from pipeline.delivery.ports import Clock
from pipeline.delivery.work import Partition, Work
from pipeline.kafka.inbound import Inbound

Step = Callable[[Work], Awaitable[float | None]]
"""One step of one work: None once it has left the line, else the seconds that it waits at its place."""


class Source(Protocol):
    """Where records come from (`pipeline.kafka.source.KafkaSource`)."""

    async def run(self) -> None: ...

    def stop(self) -> None: ...

    def commit(self, offsets: Mapping[int, int]) -> None: ...

    def give_back(self, count: int = 1) -> None: ...


class Engine:
    """Listens to one source. At most `concurrency` works are under way at once, and one of a user.

    A work is held from the moment that its record came until its outcome is acknowledged (`finished`) or its
    partition is gone. Only what is finished without a gap is committed.
    """

    def __init__(
        self, intake: Intake, step: Step, settings: DeliverySettings, clock: Clock, observed: Observed
    ) -> None:
        self._intake = intake
        self._step = step
        self._settings = settings
        self._clock = clock
        self._observed = observed
        self._partitions: dict[int, Partition] = {}
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
        helpers = [asyncio.ensure_future(self._take_in()), asyncio.ensure_future(self._commit_regularly())]
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
            if self._alarm:
                self._alarm.cancel()

    def finished(self, partition: Partition, record: Inbound) -> None:
        """It needs nothing any more, not even after a restart."""
        partition.tracker.finished(record.offset)
        self._let_go(partition, record)

    def assigned(self, partitions: Collection[int]) -> None:
        for number in partitions:
            self._partitions[number] = Partition(number)

    def received(self, records: Sequence[Inbound]) -> None:
        for record in records:
            partition = self._partitions.get(record.partition)
            if partition is None or not partition.tracker.started(record.offset):
                self._source.give_back()
                continue
            partition.hold()
            arrival = (partition, record)
            aside = None if record.key is None else self._crowds.put(record.key, arrival)
            if aside is None:
                self._arrivals.put_nowait(arrival)
            elif not aside.counted:
                self._source.give_back()

    async def revoked(self, partitions: Collection[int]) -> dict[int, int]:
        """Start nothing more of these, finish what is under way; what can be committed after the drain timeout."""
        leaving = self._leave(partitions)
        drained = asyncio.gather(*(partition.drained.wait() for partition in leaving))
        with suppress(TimeoutError):
            await asyncio.wait_for(drained, self._settings.drain_timeout)
        return _committable(leaving)

    def lost(self, partitions: Collection[int]) -> None:
        self._leave(partitions)

    def wake(self, count: int | None) -> None:
        """Let up to `count` (None: all) of the works that a circuit holds ask again."""
        if self._lanes.unpark(_is_held, count):
            self._put_to_work()

    def _leave(self, numbers: Collection[int]) -> list[Partition]:
        leaving = [self._partitions.pop(number) for number in numbers if number in self._partitions]
        for partition in leaving:
            partition.leave()
        dropped = self._crowds.drop(lambda arrival: arrival[0].gone)
        self._source.give_back(sum(aside.counted for aside in dropped))
        for work in self._lanes.drop(lambda work: work.partition.gone):
            self._let_go(work.partition, work.record)
        return leaving

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
            while not self._arrivals.empty() and len(batch) < self._settings.fetch_max_records:
                batch.append(self._arrivals.get_nowait())
            for work in await self._intake.read(batch, self._rejected):
                work.partition.arrived()
                if work.partition.gone:
                    self._let_go(work.partition, work.record)
                else:
                    self._lanes.add(work.lane, work)
            self._put_to_work()

    def _rejected(self, partition: Partition, record: Inbound) -> None:
        partition.arrived()
        self.finished(partition, record)

    def _put_to_work(self) -> None:
        while len(self._workers) < self._settings.concurrency and (work := self._lanes.take()) is not None:
            worker = asyncio.get_running_loop().create_task(self._work_off(work))
            self._workers.add(worker)
            worker.add_done_callback(self._worked_off)

    async def _work_off(self, work: Work | None) -> None:
        while work is not None:
            seconds = await self._step(work)
            if work.partition.gone and seconds is not None:
                self._let_go(work.partition, work.record)
                seconds = None
            if seconds is None:
                self._lanes.finish(work.lane)
            else:
                self._lanes.park(work.lane, self._clock.monotonic() + seconds)
                self._ring_later()
            work = self._lanes.take()

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
            if offsets := _committable(self._partitions.values()):
                self._source.commit(offsets)
            self._observed.in_flight.set(self.in_flight)


def _is_held(work: Work) -> bool:
    return work.held_since is not None


def _committable(partitions: Iterable[Partition]) -> dict[int, int]:
    """What has moved on since the last call."""
    offsets = {}
    for partition in partitions:
        offset = partition.tracker.committable()
        if offset is not None and offset != partition.committed:
            partition.committed = offsets[partition.number] = offset
    return offsets


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
