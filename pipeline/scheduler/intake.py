"""Takes the deferred topic over into PostgreSQL; an offset is committed only after its rows are durable there."""

import asyncio
import logging
from collections.abc import Sequence

from pipeline.catalogue.model import Catalogue
from pipeline.config import SchedulerSettings
from pipeline.errors import MalformedRecord, Unavailable, UnknownSchema
from pipeline.events.codec import Codec
from pipeline.events.records import Deferred
from pipeline.kafka.batches import Arrival, Batches
from pipeline.kafka.dead_letters import dead_letter
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import DEFERRED, INGEST_DLQ
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.observability.patience import until_available
from pipeline.scheduler import digests, waiting
from pipeline.scheduler.parcel import Parcel
from pipeline.scheduler.times import Clock
from pipeline.scheduler.waiting import TRY_AGAIN
from pipeline.storage.postgres import Pool, reachable

logger = logging.getLogger(__name__)


class Intake(Batches[None]):
    """Listens to one source. `arrived` is set whenever rows were stored, for whoever releases them."""

    def __init__(
        self,
        pool: Pool,
        codec: Codec,
        catalogue: Catalogue,
        producer: AsyncProducer,
        settings: SchedulerSettings,
        health: Health,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        super().__init__(settings.batch)
        self._pool = pool
        self._codec = codec
        self._catalogue = catalogue
        self._producer = producer
        self._settings = settings
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self.arrived = asyncio.Event()

    def read(self, record: Inbound) -> None:
        """Later: a schema may have to be asked for."""

    async def keep(self, arrivals: Sequence[Arrival[None]]) -> None:
        """Write what waits, in one transaction; what cannot be read goes to the dead letters."""
        parcel, rejected = Parcel(), list[Record]()
        jitter = int(self._settings.jitter * 1000)
        for arrival in arrivals:
            try:
                parcel.add(await self._decode(arrival.record), arrival.record, self._catalogue, jitter)
            except MalformedRecord as error:
                rejected.append(self._rejected(arrival.record, error))
        await self._patiently(parcel, rejected)
        self.arrived.set()

    async def _patiently(self, parcel: Parcel, rejected: Sequence[Record]) -> None:
        async def write() -> None:
            with reachable():
                async with self._pool.acquire() as connection, connection.transaction():
                    await waiting.add(connection, parcel.waits)
                    await digests.join(connection, parcel.items)
                    await waiting.cancel(connection, parcel.cancels)
                    await digests.cancel(connection, parcel.cancels)
            await self._producer.send_all(rejected)

        await until_available("postgresql intake", write, away=TRY_AGAIN, health=self._health)

    async def _decode(self, record: Inbound) -> Deferred:
        try:
            return self._codec.decode_deferred(record.value)
        except UnknownSchema as unknown:
            schema_id = unknown.schema_id
            learn = self._codec.book.learn
            if not await until_available("schemas", lambda: learn(schema_id), away=(Unavailable,), health=self._health):
                raise
            return self._codec.decode_deferred(record.value)

    def _rejected(self, record: Inbound, error: MalformedRecord) -> Record:
        """What cannot be read goes to the dead letters as it is; the header says that it was deferred."""
        logger.warning("a deferred record at partition %d, offset %d: %s", record.partition, record.offset, error)
        self._metrics.dead_lettered.labels(INGEST_DLQ, error.reason).inc()
        return dead_letter(
            INGEST_DLQ,
            key=record.key,
            value=record.value,
            headers=record.headers,
            topic=DEFERRED,
            partition=record.partition,
            offset=record.offset,
            reason=error.reason,
            error=str(error),
            attempts=0,
            now=self._clock(),
        )
