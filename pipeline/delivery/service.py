"""``pipeline worker``: wires the engines of one channel to their servers and runs them."""

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from pipeline.catalogue.loader import load_catalogue
from pipeline.channels.base import ChannelSender
from pipeline.channels.factory import open_sender
from pipeline.delivery.assembly import Delivery, Shared
from pipeline.delivery.ledger import TOKEN_LENGTH
from pipeline.delivery.ports import Clock
from pipeline.errors import Unavailable
from pipeline.events.codec import Codec
from pipeline.events.registry import open_book
from pipeline.events.vocabulary import Channel, Priority
from pipeline.kafka.client import UNHURRIED, producer_config
from pipeline.kafka.group_protocol import GroupProtocol, choose_protocol
from pipeline.kafka.names import DEFERRED, DELIVERY_STATUS, channel_dlq, dispatch_topic
from pipeline.kafka.presence import wait_for_topics
from pipeline.kafka.producer import AsyncProducer
from pipeline.kafka.standing import part_of
from pipeline.kafka.statistics import Statistics
from pipeline.observability.patience import until_available
from pipeline.runtime import Runtime, Service, spare_the_collector, unless_stopped
from pipeline.storage.devices import DeviceRegistry
from pipeline.storage.inbox import Inbox
from pipeline.storage.postgres import open_pool
from pipeline.storage.presence import wait_for_stores
from pipeline.storage.redis import open_redis
from pipeline.storage.suppressions import Suppressions
from pipeline.users.directory import UserDirectory
from pipeline.users.lookup import Lookup

POLL_INTERVAL = 0.005
"""Seconds between two looks at what was acknowledged: it only moves offsets on."""


def worker_service(channel: Channel, priorities: Sequence[Priority]) -> Service:
    """The service that delivers these priorities of `channel`, each through an engine of its own."""

    async def serve(runtime: Runtime) -> None:
        await serve_worker(runtime, channel, priorities)

    return serve


async def serve_worker(runtime: Runtime, channel: Channel, priorities: Sequence[Priority]) -> None:
    """Deliver until told to stop.

    Raises:
        ConfigurationError: a setting, a template or a credential is wrong.
        CatalogueError: the event catalogue is wrong.
        Unavailable: an engine cannot go on; what it had not finished will be delivered by the next.
    """
    async with AsyncExitStack() as stack:
        ready = await unless_stopped(runtime.stopping, _kafka_ready(runtime, channel, priorities))
        if ready is None:
            return
        shared = await unless_stopped(runtime.stopping, _open(runtime, channel, stack))
        if shared is None:
            return
        spare_the_collector()
        await run_until(runtime.stopping, [Delivery(shared, priority, ready) for priority in priorities])


async def run_until(stopping: asyncio.Event, deliveries: Sequence[Delivery]) -> None:
    """Run all until `stopping` is set or one fails; then stop all.

    Raises:
        PipelineError: the first failure.
    """
    runs = [asyncio.ensure_future(delivery.run()) for delivery in deliveries]
    stop = asyncio.ensure_future(stopping.wait())
    await asyncio.wait([*runs, stop], return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    for delivery in deliveries:
        delivery.stop()
    for outcome in await asyncio.gather(*runs, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _kafka_ready(runtime: Runtime, channel: Channel, priorities: Sequence[Priority]) -> GroupProtocol:
    kafka = runtime.settings.kafka
    topics = [dispatch_topic(channel, priority) for priority in priorities]
    runtime.health.need(*map(part_of, topics))
    await wait_for_topics(kafka, [*topics, DELIVERY_STATUS, DEFERRED, channel_dlq(channel)], runtime.health)
    return await until_available(
        "kafka", lambda: asyncio.to_thread(choose_protocol, kafka), away=(Unavailable,), health=runtime.health
    )


async def _open(runtime: Runtime, channel: Channel, stack: AsyncExitStack) -> Shared:
    settings = runtime.settings
    categories = load_catalogue(settings.catalogue.path).categories
    redis = await stack.enter_async_context(open_redis(settings.redis))
    pool = await stack.enter_async_context(await open_pool(settings.postgres))
    await wait_for_stores(redis, pool, settings, runtime.health)
    directory = UserDirectory.of(pool, redis, settings.router, runtime.metrics)
    lookup = await stack.enter_async_context(Lookup(directory, runtime.health))
    sender: ChannelSender = await open_sender(
        channel,
        settings,
        redis=redis,
        inbox=Inbox(pool),
        devices=DeviceRegistry(pool, directory.changed),
        suppressions=Suppressions(pool, directory.changed),
        metrics=runtime.metrics,
        tracing=runtime.tracing,
    )
    stack.push_async_callback(sender.close)
    book = await open_book(settings.kafka)
    producer = await stack.enter_async_context(
        AsyncProducer(
            producer_config(settings.kafka, UNHURRIED),
            poll_interval=POLL_INTERVAL,
            statistics=Statistics(runtime.metrics, "producer"),
        )
    )
    runtime.metrics.producer_buffered.set_function(lambda: len(producer))
    return Shared(
        settings=settings,
        sender=sender,
        codec=Codec.open(book),
        producer=producer,
        redis=redis,
        directory=lookup,
        health=runtime.health,
        metrics=runtime.metrics,
        clock=Clock(now=now_ms, monotonic=asyncio.get_running_loop().time),
        token=lambda: secrets.token_hex(TOKEN_LENGTH // 2),
        random=random.random,
        tracing=runtime.tracing,
        in_doubt={name: c.in_doubt for name, c in categories.items() if c.in_doubt is not None},
    )


def now_ms() -> int:
    return time.time_ns() // 1_000_000
