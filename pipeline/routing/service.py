"""``pipeline router``: wires the router to its servers and runs it."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from redis.asyncio import Redis

from pipeline.catalogue.loader import load_catalogue
from pipeline.events.codec import Codec
from pipeline.events.registry import open_book
from pipeline.kafka.client import UNHURRIED, producer_config
from pipeline.kafka.names import INGEST, LINE_TOPICS
from pipeline.kafka.presence import wait_for_topics
from pipeline.kafka.producer import AsyncProducer
from pipeline.kafka.standing import Standing
from pipeline.kafka.statistics import Statistics
from pipeline.observability.lag import sample_lag
from pipeline.routing.agent import make_app, run_app
from pipeline.routing.router import Router
from pipeline.routing.state import RouterState
from pipeline.routing.traced import EventSpans
from pipeline.runtime import Background, Runtime, spare_the_collector, unless_stopped
from pipeline.storage.postgres import Pool, open_pool
from pipeline.storage.presence import wait_for_stores
from pipeline.storage.redis import open_redis
from pipeline.users.directory import UserDirectory
from pipeline.users.invalidation import InvalidationListener
from pipeline.users.lookup import Lookup


async def _servers(runtime: Runtime, redis: Redis, pool: Pool) -> None:
    settings, health = runtime.settings, runtime.health
    await asyncio.gather(
        wait_for_topics(settings.kafka, LINE_TOPICS, health), wait_for_stores(redis, pool, settings, health)
    )


def _at_once(call: Callable[..., object], *arguments: object) -> None:
    call(*arguments)


async def serve_router(runtime: Runtime) -> None:
    """Route until told to stop.

    Raises:
        ConfigurationError: a setting or the catalogue is wrong.
        Unavailable: the router gave up on a chunk; nothing of it was acknowledged.
    """
    settings, health, metrics = runtime.settings, runtime.health, runtime.metrics
    catalogue = load_catalogue(settings.catalogue.path)
    standing = Standing(INGEST, health, _at_once, limit=settings.kafka.poll_limit)
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(settings.redis))
        pool = await stack.enter_async_context(await open_pool(settings.postgres))
        directory = UserDirectory.of(pool, redis, settings.router, metrics)
        lookup = await stack.enter_async_context(Lookup(directory, health))
        background = await stack.enter_async_context(Background())
        await unless_stopped(runtime.stopping, _servers(runtime, redis, pool))
        if runtime.stopping.is_set():
            return
        book = await open_book(settings.kafka)
        producer = await stack.enter_async_context(
            AsyncProducer(producer_config(settings.kafka), statistics=Statistics(metrics, "producer"))
        )
        archivist = await stack.enter_async_context(
            AsyncProducer(producer_config(settings.kafka, UNHURRIED), statistics=Statistics(metrics, "archivist"))
        )
        metrics.producer_buffered.set_function(lambda: len(producer) + len(archivist))
        router = Router(
            settings=settings.router,
            catalogue=catalogue,
            book=book,
            codec=Codec.open(book),
            state=RouterState(redis, lookup, settings.router),
            producer=producer,
            archivist=archivist,
            health=health,
            metrics=metrics,
            spans=EventSpans(runtime.tracing) if runtime.tracing else None,
        )
        background.start(InvalidationListener(settings.postgres, directory, health, ttl=directory.longest_kept).run())
        background.start(sample_lag(settings.kafka, metrics, health))
        spare_the_collector()
        await run_app(make_app(settings.kafka, settings.router, router, metrics, standing), runtime.stopping, standing)
