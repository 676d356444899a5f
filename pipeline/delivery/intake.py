"""From records to works: decode, look up the users, lease; each once for a batch."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pipeline.delivery.entry import encode
from pipeline.delivery.epoch import Epoch
from pipeline.delivery.ledger import Ledger, State, entry_keys
from pipeline.delivery.ports import Clock, Directory
from pipeline.delivery.reporter import Reporter
from pipeline.delivery.strangers import recipient
from pipeline.delivery.takeover import Verdict, closed_by
from pipeline.delivery.told import StatusTail
from pipeline.delivery.work import Partition, Work
from pipeline.errors import MalformedRecord, Unavailable, UnknownSchema
from pipeline.events.codec import Codec
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import WAITING
from pipeline.kafka.inbound import Inbound
from pipeline.observability.health import Health
from pipeline.observability.patience import until_available
from pipeline.storage.redis import REDIS_AWAY

logger = logging.getLogger(__name__)

T = TypeVar("T")

YIELD_EVERY = 50
"""Records decoded before others get a turn of the event loop."""

Arrival = tuple[Partition, Inbound]
OnOver = Callable[[Partition, Inbound], None]
"""Called for a record that needs no delivery: its dead letter is acknowledged, or it turned out to be finished."""


class Intake:
    """Takes batches in for one engine. Waits for servers that are away, but not for PostgreSQL: see `strangers`."""

    def __init__(
        self,
        codec: Codec,
        directory: Directory,
        ledger: Ledger,
        epoch: Epoch,
        tail: StatusTail,
        reporter: Reporter,
        clock: Clock,
        health: Health,
    ) -> None:
        self._epoch = epoch
        self._tail = tail
        self._codec = codec
        self._directory = directory
        self._ledger = ledger
        self._reporter = reporter
        self._clock = clock
        self._health = health

    async def read(self, arrivals: Sequence[Arrival], on_over: OnOver) -> list[Work]:
        """A work for each record that can be read, in order; the others become dead letters."""
        read: list[tuple[Partition, Inbound, Dispatch]] = []
        for count, (partition, record) in enumerate(arrivals, 1):
            try:
                read.append((partition, record, await self._decode(record)))
            except MalformedRecord as error:
                await self._reject(partition, record, error, on_over)
            if not count % YIELD_EVERY:
                await asyncio.sleep(0)
        if not read:
            return []
        works = await self._look_up(read)
        taken_over = {work.partition for work in works if work.partition.takeover is not None}
        return await self._without_the_finished(works, taken_over, on_over) if taken_over else works

    async def _look_up(self, read: Sequence[tuple[Partition, Inbound, Dispatch]]) -> list[Work]:
        keys = [entry_keys(d.event.recipient_id, d.notification_id, d.event.idempotency_key) for _, _, d in read]
        ids = {dispatch.event.recipient_id for _, _, dispatch in read}
        asked_at = self._clock.monotonic()
        users, found = await asyncio.gather(
            self._patiently(lambda: self._directory.find(ids)), self._ledger.lease(keys)
        )
        return [
            Work(
                record,
                partition,
                dispatch,
                entry,
                recipient(users, dispatch.event.recipient_id, record),
                state,
                asked_at,
            )
            for (partition, record, dispatch), entry, state in zip(read, keys, found, strict=True)
        ]

    async def _without_the_finished(self, works: list[Work], taken_over: set[Partition], on_over: OnOver) -> list[Work]:
        """Of what their last holder may have had in hand: leave out what has ended, mark what may have been sent.

        The epoch is read after the leases: what they found is what Redis knows in it.
        """
        epoch = await self._patiently(self._epoch.read)
        for partition in taken_over:
            takeover = partition.takeover
            if takeover is not None and takeover.told is None and takeover.memory.epoch != epoch:
                takeover.told = await self._tail.read(partition.number, takeover.memory.complete_at)
        left = [work for work in works if not self._has_ended(work, epoch)]
        ended = [work for work in works if work.entry]
        await self._ledger.note([(work.keys, work.entry) for work in ended])
        for work in ended:
            on_over(work.partition, work.record)
        return left

    def _has_ended(self, work: Work, epoch: str) -> bool:
        takeover, found = work.partition.takeover, work.found
        if takeover is None or found is None or not takeover.covers(work.record.offset):
            return False
        verdict = takeover.judge(work.record.offset, work.dispatch, work.rank, found, epoch)
        if verdict is not Verdict.FINISHED:
            work.suspect = verdict is Verdict.SUSPECT
            return False
        assert takeover.told is not None
        closed = closed_by(takeover.told[work.dispatch.notification_id], work.rank)
        waits = closed.final.status in WAITING
        work.entry = State.ACCOUNTED_WAITING.encode() + encode(closed) if waits else State.ACCOUNTED.encode()
        return True

    async def _decode(self, record: Inbound) -> Dispatch:
        try:
            return self._codec.decode_dispatch(record.value)
        except UnknownSchema as unknown:
            schema_id = unknown.schema_id
            if not await self._patiently(lambda: self._codec.book.learn(schema_id)):
                raise
            return self._codec.decode_dispatch(record.value)

    async def _reject(self, partition: Partition, record: Inbound, error: MalformedRecord, on_over: OnOver) -> None:
        logger.warning("a record at partition %d, offset %d: %s", record.partition, record.offset, error)
        await self._reporter.rejected(record, error, self._clock.now(), lambda: on_over(partition, record))

    async def _patiently(self, operation: Callable[[], Awaitable[T]]) -> T:
        return await until_available(
            "users and schemas", operation, away=(*REDIS_AWAY, Unavailable), health=self._health
        )
