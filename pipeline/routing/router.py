"""The router's shell around the pure planner: decode, read once, decide in order, write once, produce, acknowledge.

The order of the steps is the guarantee. Claims and counters are stored before the records are produced, and the
caller commits only what Kafka has acknowledged: a crash anywhere in between repeats the chunk, and each claim says
that it was this very record that made it.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from pipeline.catalogue.model import Catalogue
from pipeline.config import RouterSettings
from pipeline.errors import MalformedRecord, Unavailable, UnknownSchema
from pipeline.events.codec import Codec, DecodedEvent
from pipeline.events.schemas import SchemaBook
from pipeline.events.vocabulary import Channel, Origin, Priority, Reason, Verdict
from pipeline.kafka.dead_letters import dead_letter, history
from pipeline.kafka.names import INGEST_DLQ, Header
from pipeline.kafka.producer import AsyncProducer, Batch, Record
from pipeline.kafka.tracing import header, origin_of, trace_id
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.observability.patience import until_available
from pipeline.routing.plan import Incoming, Known, Planner, Routed
from pipeline.routing.state import RouterState
from pipeline.storage.redis import REDIS_AWAY

T = TypeVar("T")


class IngestRecord(Protocol):
    """What the router needs of a consumed record (aiokafka's `ConsumerRecord` has it)."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Router:
    """Routes chunks of ingest records, one chunk at a time."""

    def __init__(
        self,
        *,
        settings: RouterSettings,
        catalogue: Catalogue,
        book: SchemaBook,
        codec: Codec,
        state: RouterState,
        producer: AsyncProducer,
        health: Health,
        metrics: Metrics,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._book = book
        self._codec = codec
        self._state = state
        self._producer = producer
        self._health = health
        self._metrics = metrics
        self._clock = clock

    async def route(self, chunk: Sequence[IngestRecord]) -> None:
        """`decide` and wait until all that follows from the chunk is acknowledged by Kafka. Raises as both."""
        await self.acknowledged(await self.decide(chunk))

    async def acknowledged(self, batch: Batch) -> None:
        """Wait until Kafka has all that `decide` handed over; only then may the chunk be acknowledged.

        Raises:
            Unavailable: Kafka refused a record for good; nothing may be acknowledged.
        """
        await self._producer.acknowledged(batch)

    async def decide(self, chunk: Sequence[IngestRecord]) -> Batch:
        """Decide every record, in order, and hand what follows from it to the producer. A chunk may span partitions.

        Waits for as long as Redis, PostgreSQL or Kafka are away. What cannot be read goes to the ingest dead-letter
        topic, untouched.

        Raises:
            Unavailable: Kafka refused a record for good; nothing may be acknowledged.
        """
        rejected: list[Record] = []
        incoming = [i for record in chunk if (i := await self._decode(record, rejected)) is not None]
        known = await self._patiently(lambda: self._state.read(incoming)) if incoming else Known({}, {}, {})
        planner = Planner(self._catalogue, self._settings, self._codec, known)
        by_position = {(record.partition, record.offset): record for record in chunk}
        for event in incoming:
            try:
                planner.add(event, self._clock())
            except MalformedRecord as error:
                rejected.append(self._reject(by_position[event.partition, event.offset], error))
        await self._patiently(lambda: self._state.write(planner, known, self._clock()))
        batch = await self._producer.hand_over(planner.records + rejected)
        self._count(planner.routed, by_position)
        return batch

    async def _decode(self, record: IngestRecord, rejected: list[Record]) -> Incoming | None:
        try:
            decoded = await self._read(record.value)
        except MalformedRecord as error:
            rejected.append(self._reject(record, error))
            return None
        traceparent = header(record.headers, Header.TRACEPARENT)
        origin = origin_of(record.headers)
        return Incoming(
            record.partition,
            record.offset,
            decoded.event,
            decoded.body,
            decoded.data,
            origin,
            traceparent,
            trace_id(traceparent),
            first_time=header(record.headers, Header.REPLAY_FIRST) is not None,
            history=history(record.headers) if origin is Origin.REPLAYED else [],
        )

    async def _read(self, value: bytes | None) -> DecodedEvent:
        try:
            return self._codec.decode_event(value)
        except UnknownSchema as unknown:
            schema_id = unknown.schema_id
            if not await self._patiently(lambda: self._book.learn(schema_id)):
                raise
            return self._codec.decode_event(value)

    def _reject(self, record: IngestRecord, error: MalformedRecord) -> Record:
        self._metrics.dead_lettered.labels(INGEST_DLQ, error.reason).inc()
        self._metrics.events_routed.labels("rejected").inc()
        return dead_letter(
            INGEST_DLQ,
            key=record.key,
            value=record.value,
            headers=record.headers,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=error.reason,
            error=str(error),
            attempts=0,
            now=self._clock(),
        )

    async def _patiently(self, operation: Callable[[], Awaitable[T]]) -> T:
        return await until_available(
            "stores",  # Redis, PostgreSQL, the schema registry: the error says which
            operation,
            away=(*REDIS_AWAY, Unavailable),
            health=self._health,
        )

    def _count(self, routed: list[Routed], records: Mapping[tuple[int, int], IngestRecord]) -> None:
        """Adds up the chunk first: a labelled counter costs as much as deciding a channel."""
        now = self._clock()
        metrics = self._metrics
        rulings: Counter[tuple[Channel, Verdict, Reason, Priority]] = Counter()
        for r in routed:
            metrics.ingest_to_dispatch.observe(
                (now - records[r.incoming.partition, r.incoming.offset].timestamp) / 1000
            )
            rulings.update((c.channel, c.verdict, c.reason, r.ruling.priority) for c in r.ruling.channels)
        for (channel, verdict, reason, priority), count in rulings.items():
            if verdict is Verdict.DISPATCH:
                metrics.dispatched.labels(channel, priority).inc(count)
            elif verdict is Verdict.DEFER:
                metrics.deferred.labels(channel, reason).inc(count)
            else:
                metrics.suppressed.labels(channel, reason).inc(count)
        metrics.events_routed.labels("decided").inc(len(routed))
