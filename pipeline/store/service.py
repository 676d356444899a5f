"""``pipeline store``: wires the store to its servers and runs it. Any number may run at once."""

import asyncio
from contextlib import AsyncExitStack

from pipeline.errors import Unavailable
from pipeline.events.codec import Codec
from pipeline.events.registry import open_book
from pipeline.kafka.group_protocol import GroupProtocol, choose_protocol
from pipeline.kafka.names import DELIVERY_STATUS, STORE_GROUP
from pipeline.kafka.presence import wait_for_topics
from pipeline.kafka.source import KafkaSource
from pipeline.kafka.standing import part_of
from pipeline.observability.lag import Sampler
from pipeline.observability.patience import until_available
from pipeline.runtime import Background, Runtime, unless_stopped
from pipeline.storage.postgres import Pool, open_pool, reachable
from pipeline.storage.scripts import sql
from pipeline.store.intake import TRY_AGAIN, Intake
from pipeline.store.upkeep import Upkeep

AHEAD = 3
"""Batches that may be read and not stored yet."""

DRAIN = 10.0
"""Seconds that a batch which is being stored may take when its partition goes to another."""

LAG_EVERY = 15.0


async def serve_store(runtime: Runtime) -> None:
    """Store statuses until told to stop.

    Raises:
        ConfigurationError: a setting is wrong, or the tables are missing.
        Unavailable: Kafka refuses to go on; nothing that was not stored is committed.
    """
    async with AsyncExitStack() as stack:
        protocol = await unless_stopped(runtime.stopping, _kafka_ready(runtime))
        pool = await stack.enter_async_context(await open_pool(runtime.settings.postgres))
        if protocol is None or await unless_stopped(runtime.stopping, _tables_ready(runtime, pool)) is None:
            return
        book = await open_book(runtime.settings.kafka)
        background = await stack.enter_async_context(Background())
        background.start(_sample_lag(runtime))
        await _run(runtime, pool, Codec.open(book), protocol)


async def _kafka_ready(runtime: Runtime) -> GroupProtocol:
    kafka, health = runtime.settings.kafka, runtime.health
    health.need(part_of(DELIVERY_STATUS))
    await wait_for_topics(kafka, [DELIVERY_STATUS], health)
    return await until_available(
        "kafka", lambda: asyncio.to_thread(choose_protocol, kafka), away=(Unavailable,), health=health
    )


async def _tables_ready(runtime: Runtime, pool: Pool) -> bool:
    """The days are made before the first record comes, lest rows gather where no day covers them."""

    async def look() -> None:
        with reachable():
            await pool.fetch(sql("applied_migrations"))

    health, dsn = runtime.health, runtime.settings.postgres.dsn.get_secret_value()
    await until_available("postgresql", look, away=(Unavailable,), health=health, where=dsn)
    upkeep = Upkeep(pool, runtime.settings, health, runtime.metrics)
    await until_available("upkeep", upkeep.once, away=TRY_AGAIN, health=health)
    return True


async def _run(runtime: Runtime, pool: Pool, codec: Codec, protocol: GroupProtocol) -> None:
    settings, health = runtime.settings, runtime.health
    intake = Intake(pool, codec, settings.store, health, runtime.metrics)
    source = KafkaSource(
        settings.kafka, DELIVERY_STATUS, STORE_GROUP, intake, health,
        protocol=protocol, limit=AHEAD * settings.store.batch, batch=settings.store.batch, drain_timeout=DRAIN, metrics=runtime.metrics,
    )  # fmt: skip
    stop = asyncio.ensure_future(runtime.stopping.wait())
    storing = asyncio.ensure_future(intake.run(source))
    upkeep = asyncio.ensure_future(Upkeep(pool, settings, health, runtime.metrics).run())
    await asyncio.wait([stop, storing, upkeep], return_when=asyncio.FIRST_COMPLETED)
    for task in (stop, upkeep):
        task.cancel()
    source.stop()
    for outcome in await asyncio.gather(storing, upkeep, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome


async def _sample_lag(runtime: Runtime) -> None:
    """Keep the gauges of our own lag current until cancelled."""
    sampler = Sampler(runtime.settings.kafka, runtime.metrics, runtime.health)
    while True:
        await sampler.group(STORE_GROUP)
        await asyncio.sleep(LAG_EVERY)
