"""``pipeline router --shadow``: decides what comes in under a second catalogue as well, and tells where they differ.

It is in a consumer group of its own and writes nothing: no record, no key, no row. What it finds is in its metrics, and
samples are in its log.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from pipeline.catalogue.loader import load_catalogue
from pipeline.config import RouterSettings
from pipeline.errors import Unavailable
from pipeline.events.codec import Codec
from pipeline.events.registry import open_book
from pipeline.kafka.batches import Arrival, Batches
from pipeline.kafka.group_protocol import GroupProtocol, choose_protocol
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import INGEST, SHADOW_GROUP
from pipeline.kafka.presence import wait_for_topics
from pipeline.kafka.source import KafkaSource
from pipeline.kafka.standing import part_of
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.observability.patience import until_available
from pipeline.runtime import Runtime, Service, unless_stopped
from pipeline.storage.postgres import open_pool
from pipeline.whatif.compare import Comparison, Recorded, Side
from pipeline.whatif.outcome import Difference
from pipeline.whatif.people import People

logger = logging.getLogger(__name__)

BATCH = 1_000
AHEAD = 4
"""Batches that may be read and not decided yet."""

DRAIN = 5.0
KEEP_USERS = 60.0
"""Seconds for which a user is taken to be as they were read."""

SAMPLE_EVERY = 60.0
"""Seconds between two samples of one kind of difference in the log."""


def shadow_service(policy: Path, candidate: RouterSettings | None = None) -> Service:
    """The service that compares the catalogue of the settings with `policy`; `candidate`: settings to try with it."""

    async def serve(runtime: Runtime) -> None:
        """Compare until told to stop.

        Raises:
            ConfigurationError: a setting or one of the catalogues is wrong.
            Unavailable: Kafka refuses to go on.
        """
        settings = runtime.settings
        present = Side(load_catalogue(settings.catalogue.path), settings.router)
        other = Side(load_catalogue(policy), candidate or settings.router)
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(await open_pool(settings.postgres))
            protocol = await unless_stopped(runtime.stopping, _kafka_ready(runtime))
            if protocol is None:
                return
            comparison = Comparison(present, other, Codec.open(await open_book(settings.kafka)))
            stack.callback(comparison.close)
            shadow = Shadow(comparison, People(pool, keep=KEEP_USERS), runtime.health, runtime.metrics)
            source = KafkaSource(
                settings.kafka, INGEST, SHADOW_GROUP, shadow, runtime.health,
                protocol=protocol, limit=AHEAD * BATCH, batch=BATCH, drain_timeout=DRAIN,
            )  # fmt: skip
            await _until_stopped(runtime, shadow, source)

    return serve


class Shadow(Batches[None]):
    """Compares what comes. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        comparison: Comparison,
        people: People,
        health: Health,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(BATCH)
        self._comparison = comparison
        self._people = people
        self._health = health
        self._metrics = metrics
        self._samples = _Samples(clock)

    def read(self, record: Inbound) -> None:
        """Later: a schema may have to be asked for."""

    async def keep(self, arrivals: Sequence[Arrival[None]]) -> None:
        """Nothing but counts."""
        records = [arrival.record for arrival in arrivals]
        recorded, unreadable = await until_available(
            "schemas", lambda: self._comparison.read(records), away=(Unavailable,), health=self._health
        )
        self._metrics.shadow_events.labels("unreadable").inc(unreadable)
        ids = [r.event.recipient_id for r in recorded]
        users = await until_available(
            "postgresql", lambda: self._people.find(ids), away=(Unavailable,), health=self._health
        )
        for compared in self._comparison.compare(recorded, users):
            found = compared.differences
            self._metrics.shadow_events.labels("changed" if found else "same").inc()
            for difference in found:
                self._tell(compared.recorded, difference)

    def _tell(self, recorded: Recorded, difference: Difference) -> None:
        kind = (difference.channel or "none", difference.present.verdict, difference.candidate.verdict)
        self._metrics.shadow_differences.labels(*kind).inc()
        if self._samples.wants(kind):
            one, other = difference.present, difference.candidate
            logger.info(
                "event %s of type %s on %s: %s (%s, rule %s) would be %s (%s, rule %s); differs in %s",
                recorded.event.event_id, recorded.event.event_type, *kind[:2], one.reason, one.rule,
                kind[2], other.reason, other.rule, ", ".join(difference.fields),
            )  # fmt: skip


class _Samples:
    """One of each kind now and then."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[tuple[str, str, str], float] = {}

    def wants(self, kind: tuple[str, str, str]) -> bool:
        now = self._clock()
        if now - self._told.get(kind, -SAMPLE_EVERY) < SAMPLE_EVERY:
            return False
        self._told[kind] = now
        return True


async def _kafka_ready(runtime: Runtime) -> GroupProtocol:
    kafka, health = runtime.settings.kafka, runtime.health
    health.need(part_of(INGEST))
    await wait_for_topics(kafka, [INGEST], health)
    return await until_available(
        "kafka", lambda: asyncio.to_thread(choose_protocol, kafka), away=(Unavailable,), health=health
    )


async def _until_stopped(runtime: Runtime, shadow: Shadow, source: KafkaSource) -> None:
    stop = asyncio.ensure_future(runtime.stopping.wait())
    comparing = asyncio.ensure_future(shadow.run(source))
    await asyncio.wait([stop, comparing], return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    source.stop()
    await comparing
