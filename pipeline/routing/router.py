"""The router's shell around the pure planner: decode, read once, decide in order, write once, produce, acknowledge.

The order of the steps is the guarantee. Claims and counters are stored before the records are produced, and the
caller commits only what Kafka has acknowledged: a crash anywhere in between repeats the chunk, and each claim says
that it was this very record that made it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from pipeline.catalogue.model import Catalogue
from pipeline.config import RouterSettings
from pipeline.errors import MalformedRecord, Unavailable, UnknownSchema
from pipeline.escalation.standing import decode_standings
from pipeline.events.codec import Codec, DecodedEvent
from pipeline.events.schemas import SchemaBook
from pipeline.events.vocabulary import Channel, Origin, Priority, Reason, Verdict
from pipeline.kafka.dead_letters import dead_letter, history
from pipeline.kafka.names import DECISIONS, DELIVERY_STATUS, INGEST_DLQ, Header
from pipeline.kafka.producer import AsyncProducer, Batch, Record
from pipeline.kafka.tracing import header, number_of, origin_of, trace_id
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.observability.patience import until_available
from pipeline.routing.decide import urgency
from pipeline.routing.lobby import Lobby
from pipeline.routing.plan import Incoming, IngestRecord, Known, Planner, Routed
from pipeline.routing.state import RouterState
from pipeline.routing.traced import EventSpans
from pipeline.storage.redis import REDIS_AWAY

T = TypeVar("T")

RETRY = 0.2
"""Seconds between two looks at whether those who wait for their user can be decided."""


ARCHIVED = frozenset({DECISIONS, DELIVERY_STATUS})
"""Topics whose records nobody waits for."""


class Handed(NamedTuple):
    """What was handed to the two producers, and when (monotonic, s)."""

    urgent: Batch
    archived: Batch
    at: float


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Router:
    """Routes chunks of ingest records, one chunk at a time.

    An event whose user is not cached waits for as long as PostgreSQL is away; the others pass it. `archivist` is a
    producer for what nobody waits for (decisions, statuses): it may take its time to fill its requests, which are most
    of what a broker does for a router at a low rate.
    """

    def __init__(
        self,
        *,
        settings: RouterSettings,
        catalogue: Catalogue,
        book: SchemaBook,
        codec: Codec,
        state: RouterState,
        producer: AsyncProducer,
        archivist: AsyncProducer,
        health: Health,
        metrics: Metrics,
        clock: Callable[[], int] = now_ms,
        spans: EventSpans | None = None,
    ) -> None:
        self._spans = spans
        self._settings = settings
        self._catalogue = catalogue
        self._book = book
        self._codec = codec
        self._state = state
        self._producer = producer
        self._archivist = archivist
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._lobby = Lobby()
        self._deciding = metrics.router_seconds.labels("decide")
        self._acknowledging = metrics.router_seconds.labels("acknowledge")

    @property
    def waiting(self) -> dict[int, int]:
        """The lowest offset of each partition that waits for its user; nothing from there on may be acknowledged."""
        return self._lobby.first_offsets()

    def forget(self, partitions: Collection[int]) -> None:
        """These partitions are another router's now, or will be read again from the last commit."""
        self._lobby.drop(partitions)
        self._metrics.waiting_for_users.set(len(self._lobby))

    async def route(self, chunk: Sequence[IngestRecord]) -> None:
        """Decide all of it and wait until all that follows is acknowledged by Kafka. Raises as `decide`."""
        await self.acknowledged(await self.decide(chunk))
        while self._lobby:
            await asyncio.sleep(RETRY)
            await self.acknowledged(await self.decide([]))

    async def acknowledged(self, handed: Handed) -> None:
        """Wait until Kafka has all that `decide` handed over; only then may the chunk be acknowledged.

        Raises:
            Unavailable: Kafka refused a record for good; nothing may be acknowledged.
        """
        await self._producer.acknowledged(handed.urgent)
        await self._archivist.acknowledged(handed.archived)
        self._acknowledging.observe(time.perf_counter() - handed.at)

    async def decide(self, chunk: Sequence[IngestRecord]) -> Handed:
        """Decide every record, in order, and hand what follows from it to the producer. A chunk may span partitions.

        Records of `waiting` are not decided: a later call does it, also with an empty chunk. Waits for as long as Redis
        or Kafka are away. What cannot be read goes to the ingest dead-letter topic, untouched.

        Raises:
            Unavailable: Kafka refused a record for good; nothing may be acknowledged.
        """
        began = time.perf_counter()
        rejected: list[Record] = []
        incoming = [i for record in chunk if (i := await self._decode(record, rejected)) is not None]
        if not self._state.users_away:
            incoming = [*self._lobby.take_all(), *incoming]
        known = await self._patiently(lambda: self._state.read(incoming)) if incoming else Known({}, {}, {})
        planner = Planner(self._catalogue, self._settings, self._codec, known)
        for event in self._admit(incoming, known):
            try:
                planner.add(event, self._clock())
            except MalformedRecord as error:
                rejected.append(self._reject(event.record, error))
                planner.refuse(event, error.reason)
        await self._patiently(lambda: self._state.write(planner, known, self._clock()))
        handed = await self._hand_over(planner.records + rejected)
        if self._spans is not None:
            self._spans.end()
        self._count(planner.routed)
        if chunk:
            self._metrics.router_batch.observe(len(chunk))
            self._deciding.observe(handed.at - began)
        return handed

    async def _hand_over(self, records: Sequence[Record]) -> Handed:
        urgent = [record for record in records if record.topic not in ARCHIVED]
        archived = [record for record in records if record.topic in ARCHIVED]
        batches = await self._producer.hand_over(urgent), await self._archivist.hand_over(archived)
        return Handed(*batches, at=time.perf_counter())

    def _admit(self, incoming: Sequence[Incoming], known: Known) -> Sequence[Incoming]:
        """Those that can be decided now. The others wait, and with them all that come after them of the same user."""
        if not self._lobby and len(known.users) == len(known.histories):
            return incoming
        admitted = [event for i in incoming if (event := self._admitted(i, known)) is not None]
        self._metrics.waiting_for_users.set(len(self._lobby))
        return admitted

    def _admitted(self, incoming: Incoming, known: Known) -> Incoming | None:
        user_id, lobby = incoming.event.recipient_id, self._lobby
        if user_id in known.users and not lobby.is_waiting(user_id):
            return incoming
        critical, exempt = urgency(incoming.event, incoming.data, self._catalogue)
        if exempt and user_id in known.stale and not lobby.is_waiting(user_id, critical=True):
            return replace(incoming, stale_user=True)
        lobby.add(incoming, critical=critical)
        return None

    async def _decode(self, record: IngestRecord, rejected: list[Record]) -> Incoming | None:
        try:
            decoded = await self._read(record.value)
        except MalformedRecord as error:
            rejected.append(self._reject(record, error))
            return None
        traceparent = header(record.headers, Header.TRACEPARENT)
        if self._spans is not None:
            traceparent = self._spans.begin(traceparent, decoded.event.event_id, decoded.event.event_type)
        origin = origin_of(record.headers)
        incoming = Incoming(
            record,
            decoded.event,
            decoded.body,
            decoded.data,
            origin,
            traceparent,
            trace_id(traceparent),
            first_time=header(record.headers, Header.REPLAY_FIRST) is not None,
            history=history(record.headers) if origin is Origin.REPLAYED else [],
        )
        return incoming if incoming.decided_as is Origin.INGEST else _come_again(incoming, record)

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

    def _count(self, routed: list[Routed]) -> None:
        """Adds up the chunk first: a labelled counter costs as much as deciding a channel."""
        now = self._clock()
        metrics = self._metrics
        rulings: Counter[tuple[Channel, Verdict, Reason, Priority]] = Counter()
        for r in routed:
            metrics.ingest_to_dispatch.observe((now - r.incoming.record.timestamp) / 1000)
            rulings.update((c.channel, c.verdict, c.reason, r.ruling.priority) for c in r.ruling.channels)
        for (channel, verdict, reason, priority), count in rulings.items():
            if verdict is Verdict.DISPATCH:
                metrics.dispatched.labels(channel, priority).inc(count)
            elif verdict in (Verdict.DEFER, Verdict.DIGEST):
                metrics.deferred.labels(channel, reason).inc(count)
            else:
                metrics.suppressed.labels(channel, reason).inc(count)
        metrics.events_routed.labels("decided").inc(len(routed))


def _come_again(incoming: Incoming, record: IngestRecord) -> Incoming:
    """What was released says which wait it comes from, what was replayed which dead letter, however often it comes."""
    deferred_at = number_of(record.headers, Header.DEFERRED_AT)
    replayed = (header(record.headers, Header.REPLAY_ROUND) or b"").decode("ascii", "replace")
    comes_from = str(deferred_at) if deferred_at else replayed or f"{record.partition}@{record.offset}"
    return replace(
        incoming,
        round=f"{comes_from}+{'+'.join(incoming.event.channels)}".replace(":", "."),
        deferred_at=deferred_at,
        released_at=number_of(record.headers, Header.RELEASED_AT),
        standings=decode_standings(header(record.headers, Header.STEPS)),
    )
