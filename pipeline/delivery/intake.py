"""From records to works: decode, look up the users, lease; each once for a batch."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from pipeline.delivery.ledger import Ledger, entry_keys
from pipeline.delivery.ports import Clock, Directory
from pipeline.delivery.reporter import Reporter
from pipeline.delivery.strangers import recipient
from pipeline.delivery.work import Partition, Work
from pipeline.errors import MalformedRecord, Unavailable, UnknownSchema
from pipeline.events.codec import Codec
from pipeline.events.records import Dispatch
from pipeline.kafka.inbound import Inbound
from pipeline.observability.health import Health
from pipeline.observability.patience import until_available
from pipeline.storage.redis import REDIS_AWAY

logger = logging.getLogger(__name__)

T = TypeVar("T")

YIELD_EVERY = 50
"""Records decoded before others get a turn of the event loop."""

Arrival = tuple[Partition, Inbound]
OnRejected = Callable[[Partition, Inbound], None]
"""Called once the dead letter of a record that cannot be read is acknowledged."""


class Intake:
    """Takes batches in for one engine. Waits for servers that are away, but not for PostgreSQL: see `strangers`."""

    def __init__(
        self, codec: Codec, directory: Directory, ledger: Ledger, reporter: Reporter, clock: Clock, health: Health
    ) -> None:
        self._codec = codec
        self._directory = directory
        self._ledger = ledger
        self._reporter = reporter
        self._clock = clock
        self._health = health

    async def read(self, arrivals: Sequence[Arrival], on_rejected: OnRejected) -> list[Work]:
        """A work for each record that can be read, in order; the others become dead letters."""
        read: list[tuple[Partition, Inbound, Dispatch]] = []
        for count, (partition, record) in enumerate(arrivals, 1):
            try:
                read.append((partition, record, await self._decode(record)))
            except MalformedRecord as error:
                await self._reject(partition, record, error, on_rejected)
            if not count % YIELD_EVERY:
                await asyncio.sleep(0)
        return await self._look_up(read) if read else []

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

    async def _decode(self, record: Inbound) -> Dispatch:
        try:
            return self._codec.decode_dispatch(record.value)
        except UnknownSchema as unknown:
            schema_id = unknown.schema_id
            if not await self._patiently(lambda: self._codec.book.learn(schema_id)):
                raise
            return self._codec.decode_dispatch(record.value)

    async def _reject(
        self, partition: Partition, record: Inbound, error: MalformedRecord, on_rejected: OnRejected
    ) -> None:
        logger.warning("a record at partition %d, offset %d: %s", record.partition, record.offset, error)
        await self._reporter.rejected(record, error, self._clock.now(), lambda: on_rejected(partition, record))

    async def _patiently(self, operation: Callable[[], Awaitable[T]]) -> T:
        return await until_available(
            "users and schemas", operation, away=(*REDIS_AWAY, Unavailable), health=self._health
        )
