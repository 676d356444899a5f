"""A Faust transport that hands an agent whole fetches, and commits only what the agent acknowledged in order.

Nearly all of Faust's cost is paid for each message (a task, a future, an `Event`, acks), and its commit arithmetic is
where its losses come from. Here one "message" is everything that one fetch brought from one partition: its value is
the list of consumer records. Committing needs no arithmetic either: chunks leave a queue in the order in which they
were handed out, once acknowledged. (``docs/decisions/0013-faust-on-whole-fetches.md``)

Registered as the Faust transport ``notifications://`` by an entry point.
"""

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import faust
from aiokafka.structs import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage, EventT, Message

SCHEME = "notifications"

Chunk = Sequence[ConsumerRecord[bytes, bytes]]
"""Records of one partition, in order; never empty."""


def nobody_watches() -> None:
    """What an application that is not watched does at each poll."""


class WatchedApp(faust.App):
    """Has `polled` called whenever its consumer asks for records, or goes on handing them out."""

    polled: Callable[[], None] = staticmethod(nobody_watches)


class Consumer(driver.Consumer):
    """Yields one message for each partition that a fetch brought records from."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._handed_out: defaultdict[TP, deque[ConsumerMessage]] = defaultdict(deque)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 - Faust's signature
        """Fetch once; stop handing out as soon as a rebalance begins (what is left is fetched again)."""
        polled: Callable[[], None] = getattr(self.app, "polled", nobody_watches)
        polled()
        fetched, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if fetched is None:
            return
        if not self.flow_active:
            await self.perform_seek()
            return
        for tp, records in fetched.items():
            if self._interrupted(generation):
                return
            if records and (active is None or tp in active or tp in self._buffered_partitions):
                message = _as_message(tp, records, generation)
                self._handed_out[tp].append(message)
                yield tp, message
                polled()

    def _interrupted(self, generation: int) -> bool:
        return not self.flow_active or self.app.consumer_generation_id != generation

    def _new_offset(self, tp: TP) -> int | None:
        """One past the last record of the acknowledged front of the queue; None if its first chunk is still open."""
        queue = self._handed_out[tp]
        offset = None
        while queue and queue[0].acked:
            offset = queue.popleft().offset + 1
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return offset

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets that were never delivered (compaction, transaction markers) need no bookkeeping here."""

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget what was handed out: whoever gets these partitions starts at the last commit."""
        for tp in revoked:
            self._handed_out.pop(tp, None)
        await super().on_partitions_revoked(revoked)


def _as_message(tp: TP, records: Chunk, generation: int) -> ConsumerMessage:
    last = records[-1]
    return ConsumerMessage(
        tp.topic,
        tp.partition,
        last.offset,
        last.timestamp / 1000,
        last.timestamp_type,
        [],
        None,
        records,  # type: ignore[arg-type]  # the point of this transport: the value is the list of records
        None,
        0,
        0,
        tp,
        generation_id=generation,
    )


class Transport(driver.Transport):
    """The aiokafka driver with our consumer."""

    Consumer = Consumer


class ChunkTopic(faust.Topic):
    """A topic whose values are handed through as they are."""

    async def decode(self, message: Message, *, propagate: bool = False) -> EventT[Any]:  # noqa: ARG002 - Faust's
        """Wrap the chunk; nothing to decode."""
        return self._create_event(None, message.value, headers=None, message=message)
