"""The Faust agent. This is the only file, beside the transport, that knows Faust.

The settings are those under which nothing is lost (measured; ``docs/decisions/0013-faust-on-whole-fetches.md``): an
exception in a chunk ends the process with nothing of that chunk acknowledged, and so does a stop.
"""

import asyncio
from collections.abc import AsyncIterable
from contextlib import suppress
from typing import Any, cast

import faust
from faust.types import EventT, StreamT
from mode.supervisors import CrashingSupervisor

from pipeline.config import KafkaSettings, RouterSettings
from pipeline.errors import Unavailable
from pipeline.kafka.names import INGEST, ROUTER_GROUP
from pipeline.routing.router import Handed, Router
from pipeline.routing.security import broker_credentials
from pipeline.routing.transport import SCHEME, Chunk, ChunkTopic

AHEAD = 16
"""Bites that may be decided and not yet acknowledged; together hardly more than `AHEAD_RECORDS`."""

AHEAD_RECORDS = 2_000

BUFFERED = 8
"""Chunks that wait to be decided, at most 1 MiB each; as many again wait in Faust's own buffer."""

STOP_TIMEOUT = 8.0
"""Seconds that a stop may take. Leaving at once is safe: nothing that was not acknowledged is committed."""


class RouterApp(faust.App):
    """Keeps nothing on disk, so that the root file system may be read-only."""

    def _create_directories(self) -> None:
        pass


def make_app(kafka: KafkaSettings, settings: RouterSettings, router: Router) -> faust.App:
    """The Faust application: one agent on the ingest topic that hands whole fetches to `router`."""
    app = RouterApp(
        ROUTER_GROUP,
        broker=[f"{SCHEME}://{server.strip()}" for server in kafka.bootstrap_servers.split(",")],
        broker_credentials=broker_credentials(kafka),
        Topic=ChunkTopic,
        store="memory://",
        web_enabled=False,
        autodiscover=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=settings.commit_interval,
        broker_session_timeout=settings.session_timeout,
        broker_heartbeat_interval=settings.session_timeout / 4,
        broker_max_poll_records=settings.fetch_max_records,
        consumer_max_fetch_size=1_048_576,
        stream_wait_empty=False,
        stream_buffer_maxsize=BUFFERED,
        agent_supervisor=CrashingSupervisor,
    )
    ingest = app.topic(INGEST, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def route(stream: StreamT[Any]) -> None:
        await route_in_order(cast("faust.Stream[Chunk]", stream).noack().events(), router)

    app.agent(ingest, name="router")(route)
    return app


async def route_in_order(chunks: AsyncIterable[EventT[Any]], router: Router) -> None:
    """Decide what has come while Kafka still acknowledges what was decided before; acknowledge chunks in their order.

    Raises:
        Unavailable: Kafka refused a record for good. That chunk and all after it stay unacknowledged.
    """
    belt = _Belt(chunks, router)
    tasks = [asyncio.ensure_future(step()) for step in (belt.take_in, belt.decide, belt.acknowledge)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


class _Belt:
    """Three steps that run beside each other, each in order.

    What has come is decided at once, whatever its partitions: one read and one write of Redis serve all of it, so that
    a router that falls behind takes larger bites.
    """

    def __init__(self, chunks: AsyncIterable[EventT[Any]], router: Router) -> None:
        self._chunks = chunks
        self._router = router
        self._arrived: asyncio.Queue[EventT[Any]] = asyncio.Queue(BUFFERED)
        self._under_way: asyncio.Queue[tuple[list[EventT[Any]], int, Handed]] = asyncio.Queue(AHEAD)
        self._ahead = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def take_in(self) -> None:
        async for chunk in self._chunks:
            await self._arrived.put(chunk)

    async def decide(self) -> None:
        while True:
            bite = [await self._arrived.get()]
            while not self._arrived.empty():
                bite.append(self._arrived.get_nowait())
            records = [record for chunk in bite for record in cast("Chunk", chunk.value)]
            await self._has_room.wait()
            handed = await self._router.decide(records)
            self._count(len(records))
            await self._under_way.put((bite, len(records), handed))

    async def acknowledge(self) -> None:
        while True:
            bite, size, handed = await self._under_way.get()
            await self._router.acknowledged(handed)
            self._count(-size)
            for chunk in bite:
                chunk.ack()

    def _count(self, records: int) -> None:
        self._ahead += records
        if self._ahead < AHEAD_RECORDS:
            self._has_room.set()
        else:
            self._has_room.clear()


async def run_app(app: faust.App, stopping: asyncio.Event) -> None:
    """Run until `stopping` is set.

    Raises:
        Unavailable: the agent gave up; what it had not acknowledged will be routed again.
    """
    await app.start()
    waits = [asyncio.ensure_future(stopping.wait()), asyncio.ensure_future(app.wait_until_stopped())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        with suppress(TimeoutError):
            await asyncio.wait_for(app.stop(), STOP_TIMEOUT)
    if app.crash_reason is not None:
        raise Unavailable(f"the router stopped: {app.crash_reason}") from app.crash_reason
