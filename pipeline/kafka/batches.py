"""A listener that keeps records batch by batch, and commits what is kept."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

from pipeline.kafka.inbound import Inbound, Offsets, Position, Unremembering
from pipeline.kafka.source import KafkaSource

T = TypeVar("T")

AGAIN = 1.0
"""Seconds after which a commit that was refused is made again."""


class Place:
    """A partition while it is ours: up to where it is kept, and whether it has gone to another."""

    __slots__ = ("done", "gone", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.done: int | None = None
        self.gone = False


class Arrival(NamedTuple, Generic[T]):
    """A record, and what was read in it."""

    place: Place
    record: Inbound
    read: T


class Batches(Unremembering, ABC, Generic[T]):
    """Listens to one source. While a batch of at most `size` records is being kept, the next are read."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._places: dict[int, Place] = {}
        self._arrivals: list[Arrival[T]] = []
        self._arrived = asyncio.Event()
        self._keeping = asyncio.Lock()

    @abstractmethod
    def read(self, record: Inbound) -> T:
        """What is in a record; raises nothing."""

    @abstractmethod
    async def keep(self, arrivals: Sequence[Arrival[T]]) -> None:
        """Make a batch durable; waits for what is away. Records may come again: keeping them twice changes nothing."""

    async def run(self, source: KafkaSource) -> None:
        """Keep until the source ends.

        Raises:
            PipelineError: it cannot go on; what is not committed will be read again.
        """
        self._source = source
        reading = asyncio.ensure_future(source.run())
        keeping = asyncio.ensure_future(self._keep_all())
        try:
            done, _ = await asyncio.wait([reading, keeping], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            source.stop()
            with suppress(Exception):
                await reading
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    def assigned(self, partitions: Mapping[int, Position | None]) -> None:
        """See `Listener.assigned`."""
        for number in partitions:
            self._places[number] = Place(number)

    def received(self, records: Sequence[Inbound]) -> None:
        """See `Listener.received`."""
        places, read = self._places, self.read
        ours = [Arrival(p, r, read(r)) for r in records if (p := places.get(r.partition)) is not None]
        self._arrivals += ours
        self._arrived.set()
        if len(ours) < len(records):
            self._source.give_back(len(records) - len(ours))

    async def revoked(self, partitions: Collection[int]) -> Offsets:
        """See `Listener.revoked`."""
        leaving = self._leave(partitions)
        async with self._keeping:
            return _offsets(leaving)

    def commit_refused(self, partitions: Collection[int]) -> None:
        """See `Listener.commit_refused`. Not at once: a rebalance takes its time, and refuses what comes in it."""
        asyncio.get_running_loop().call_later(AGAIN, self._commit_again, partitions)

    def _commit_again(self, partitions: Collection[int]) -> None:
        self._source.commit(_offsets([self._places[number] for number in partitions if number in self._places]))

    def lost(self, partitions: Collection[int]) -> None:
        """See `Listener.lost`."""
        self._leave(partitions)

    def _leave(self, numbers: Collection[int]) -> list[Place]:
        leaving = [self._places.pop(number) for number in numbers if number in self._places]
        for place in leaving:
            place.gone = True
        return leaving

    async def _keep_all(self) -> None:
        while True:
            await self._arrived.wait()
            batch = self._arrivals[: self._size]
            del self._arrivals[: self._size]
            if not self._arrivals:
                self._arrived.clear()
            async with self._keeping:
                ours = [arrival for arrival in batch if not arrival.place.gone]
                if ours:
                    await self.keep(ours)
                for arrival in ours:
                    arrival.place.done = arrival.record.offset + 1
            self._source.commit(_offsets({arrival.place for arrival in ours if not arrival.place.gone}))
            self._source.give_back(len(batch))


def _offsets(places: Collection[Place]) -> Offsets:
    return {place.number: Position(place.done) for place in places if place.done is not None}
