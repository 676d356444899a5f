"""``pipeline scheduler``: wires the scheduler to its servers and runs it. Any number may run at once."""

import asyncio
import time
from contextlib import AsyncExitStack

from pipeline.catalogue.loader import load_catalogue
from pipeline.errors import Unavailable
from pipeline.events.codec import Codec
from pipeline.events.registry import open_book
from pipeline.kafka.client import producer_config
from pipeline.kafka.group_protocol import GroupProtocol, choose_protocol
from pipeline.kafka.names import DEFERRED, DELIVERY_STATUS, INGEST, INGEST_DLQ, SCHEDULER_GROUP
from pipeline.kafka.presence import wait_for_topics
from pipeline.kafka.producer import AsyncProducer
from pipeline.kafka.source import KafkaSource
from pipeline.kafka.standing import part_of
from pipeline.kafka.statistics import Statistics
from pipeline.observability.patience import until_available
from pipeline.runtime import Runtime, unless_stopped
from pipeline.scheduler import waiting
from pipeline.scheduler.flusher import Flusher
from pipeline.scheduler.intake import Intake
from pipeline.scheduler.overdue import Overdue
from pipeline.scheduler.releaser import Releaser
from pipeline.scheduler.upkeep import Upkeep
from pipeline.storage.postgres import open_pool
from pipeline.storage.presence import wait_for_stores
from pipeline.storage.redis import open_redis
from pipeline.users.directory import UserDirectory

AHEAD = 4
"""Batches that may be read and not stored yet."""

DRAIN = 10.0
"""Seconds that a batch which is being stored may take when its partition goes to another."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def serve_scheduler(runtime: Runtime) -> None:
    """Keep what waits, let go what is due, until told to stop.

    Raises:
        ConfigurationError: a setting or the catalogue is wrong.
        Unavailable: Kafka refuses to go on; nothing that was not stored is committed.
    """
    async with AsyncExitStack() as stack:
        protocol = await unless_stopped(runtime.stopping, _kafka_ready(runtime))
        if protocol is None:
            return
        scheduler = await unless_stopped(runtime.stopping, Scheduler.open(runtime, protocol, stack))
        if scheduler is not None:
            await scheduler.run(runtime.stopping)


async def _kafka_ready(runtime: Runtime) -> GroupProtocol:
    kafka, health = runtime.settings.kafka, runtime.health
    health.need(part_of(DEFERRED))
    await wait_for_topics(kafka, [DEFERRED, INGEST, DELIVERY_STATUS, INGEST_DLQ], health)
    return await until_available(
        "kafka", lambda: asyncio.to_thread(choose_protocol, kafka), away=(Unavailable,), health=health
    )


class Scheduler:
    """Intake, releases, digests and upkeep of one process."""

    def __init__(
        self,
        intake: Intake,
        source: KafkaSource,
        releaser: Releaser,
        flusher: Flusher,
        upkeep: Upkeep,
        overdue: Overdue,
    ) -> None:
        self._intake = intake
        self._source = source
        self._releaser = releaser
        self._flusher = flusher
        self._upkeep = upkeep
        self._overdue = overdue

    @classmethod
    async def open(cls, runtime: Runtime, protocol: GroupProtocol, stack: AsyncExitStack) -> "Scheduler":
        """Wait for the stores, and make the tables ready for what comes."""
        settings, health, metrics = runtime.settings, runtime.health, runtime.metrics
        waits = settings.scheduler
        catalogue = load_catalogue(settings.catalogue.path)
        redis = await stack.enter_async_context(open_redis(settings.redis))
        pool = await stack.enter_async_context(await open_pool(settings.postgres))
        await wait_for_stores(redis, pool, settings, health)
        book = await open_book(settings.kafka)
        codec = Codec.open(book)
        producer = await stack.enter_async_context(
            AsyncProducer(producer_config(settings.kafka), statistics=Statistics(metrics, "producer"))
        )
        directory = UserDirectory.of(pool, redis, settings.router, metrics)
        intake = Intake(pool, codec, catalogue, producer, waits, health, metrics, now_ms)
        source = KafkaSource(
            settings.kafka, DEFERRED, SCHEDULER_GROUP, intake, health,
            protocol=protocol, limit=AHEAD * waits.batch, batch=waits.batch, drain_timeout=DRAIN, metrics=metrics,
        )  # fmt: skip
        upkeep = Upkeep(pool, waits, health, now_ms)
        await until_available("upkeep", upkeep.once, away=waiting.TRY_AGAIN, health=health)
        releaser = Releaser(pool, codec, producer, waits, health, metrics, now_ms, intake.arrived, catalogue)
        flusher = Flusher(pool, codec, producer, catalogue, directory, waits, health, metrics, now_ms)
        return cls(intake, source, releaser, flusher, upkeep, Overdue(pool, health, metrics, now_ms))

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set, or a part cannot go on. What is under way then is left for the next.

        Raises:
            PipelineError: the part that could not go on.
        """
        stop = asyncio.ensure_future(stopping.wait())
        intake = asyncio.ensure_future(self._intake.run(self._source))
        parts = (self._releaser, self._flusher, self._upkeep, self._overdue)
        others = [asyncio.ensure_future(part.run()) for part in parts]
        await asyncio.wait([stop, intake, *others], return_when=asyncio.FIRST_COMPLETED)
        for task in (stop, *others):
            task.cancel()
        self._source.stop()
        outcomes = await asyncio.gather(intake, *others, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
