"""What a consumer hands over, to whom, and how much of it at once."""

import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, cast

import msgspec
from confluent_kafka import Message


class Position(NamedTuple):
    """Where to go on, and what the holder of the partition wants remembered beside it; the broker limits its length."""

    offset: int
    metadata: str = ""


Offsets = Mapping[int, Position]
"""Partition → the offset to go on from."""


class Inbound(msgspec.Struct, frozen=True, gc=False):
    """A record as it was read. `timestamp` in ms."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp: int


class Listener(Protocol):
    """Whom a source tells what happens; all calls come in the event loop, in order."""

    def assigned(self, partitions: Mapping[int, Position | None]) -> None:
        """Records of these partitions will come. With what the group has committed of them; None: nothing, or unknown."""

    def received(self, records: Sequence[Inbound]) -> None:
        """Records, in order for each partition. Each is given back (`KafkaSource.give_back`) once it is finished."""

    async def revoked(self, partitions: Sequence[int]) -> Offsets:
        """Finish what is under way within the drain timeout and start nothing; answers what may be committed."""

    def lost(self, partitions: Sequence[int]) -> None:
        """Others have these partitions already: nothing may be committed any more."""

    def ends(self, ends: Mapping[int, int]) -> None:
        """Where partitions end that were handed to us; comes with the first records of each that has metadata."""

    def committed(self, partitions: Sequence[int]) -> None:
        """A commit of these has reached the broker."""

    def commit_refused(self, partitions: Sequence[int]) -> None:
        """A commit of these did not reach the broker, or was refused: where they stand is to be committed once more."""

    def metadata_refused(self) -> None:
        """The broker takes less metadata than a commit had: nothing of that commit counts."""


class Unremembering:
    """The rest of a `Listener` that commits offsets and has nothing remembered beside them."""

    def ends(self, ends: Mapping[int, int]) -> None:
        """See `Listener.ends`."""

    def committed(self, partitions: Sequence[int]) -> None:
        """See `Listener.committed`."""

    def metadata_refused(self) -> None:
        """See `Listener.metadata_refused`."""


def inbound(message: Message) -> Inbound:
    """The record in a message that carries no error."""
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return Inbound(
        partition,
        offset,
        message.key(),
        message.value(),
        cast("list[tuple[str, bytes | None]]", message.headers() or []),
        message.timestamp()[1],
    )


class Room:
    """How many records may be handed out: counted up by one thread, down by the other. There is room again once a
    batch fits, lest each record that finishes fetch one.
    """

    def __init__(self, limit: int, batch: int) -> None:
        self._limit = limit
        self._enough = min(batch, max(1, limit // 4))
        self._taken = 0
        self._returned = 0
        self._event = threading.Event()
        self._event.set()

    def take(self, count: int) -> None:
        self._taken += count
        if self._free() < self._enough:
            self._event.clear()
            if self._free() >= self._enough:
                self._event.set()

    def give_back(self, count: int) -> None:
        self._returned += count
        if not self._event.is_set() and self._free() >= self._enough:
            self._event.set()

    def wait(self, timeout: float) -> bool:
        return self._event.wait(timeout)

    def open(self) -> None:
        """Wake the thread, whatever is in flight."""
        self._event.set()

    def at_most(self, batch: int) -> int:
        return max(1, min(batch, self._free()))

    def _free(self) -> int:
        return self._limit - (self._taken - self._returned)
