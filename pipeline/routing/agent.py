"""The Faust agent. This is the only file, beside the transport, that knows Faust.

The settings are those under which nothing is lost (measured; ``docs/decisions/0013-faust-on-whole-fetches.md``): an
exception in a chunk ends the process with nothing of that chunk acknowledged, and so does a stop.
"""

import asyncio
import math
from collections.abc import AsyncIterable, Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, cast

import faust
from faust.types import TP, EventT, StreamT
from mode.supervisors import CrashingSupervisor
from mode.types.signals import BaseSignalT

from pipeline.config import KafkaSettings, RouterSettings
from pipeline.errors import Unavailable
from pipeline.kafka.names import INGEST, ROUTER_GROUP
from pipeline.kafka.standing import Standing
from pipeline.observability.metrics import Metrics
from pipeline.routing.router import RETRY, Handed, Router
from pipeline.routing.security import broker_credentials
from pipeline.routing.transport import SCHEME, Chunk, ChunkTopic, WatchedApp

AHEAD = 16
"""Bites that may be decided and not yet acknowledged by Kafka; together hardly more than `AHEAD_RECORDS`."""

AHEAD_RECORDS = 2_000

BUFFERED = 8
"""Chunks that wait to be decided, at most 1 MiB each; as many again wait in Faust's own buffer."""

UNACKNOWLEDGED = 20_000
"""Records of the ingest topic that may be read and not acknowledged while some wait for their user: then all wait."""

MAX_POLL_INTERVAL = 3_600.0
"""Seconds for which Redis may be away, a backlog waiting, before the router leaves its group and joins it again."""

STOP_TIMEOUT = 8.0
"""Seconds that a stop may take. Leaving at once is safe: nothing that was not acknowledged is committed."""


class RouterApp(WatchedApp):
    """Keeps nothing on disk, so that the root file system may be read-only."""

    def _create_directories(self) -> None:
        pass


def make_app(
    kafka: KafkaSettings, settings: RouterSettings, router: Router, metrics: Metrics, standing: Standing
) -> RouterApp:
    """The Faust application: one agent on the ingest topic that hands whole fetches to `router`.

    `standing` is told when the group has let it in, and that it polls.
    """
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
        broker_max_poll_interval=MAX_POLL_INTERVAL,
        broker_max_poll_records=settings.fetch_max_records,
        consumer_max_fetch_size=1_048_576,
        stream_wait_empty=False,
        stream_buffer_maxsize=BUFFERED,
        agent_supervisor=CrashingSupervisor,
    )
    ingest = app.topic(INGEST, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    def is_ours(chunk: EventT[Any]) -> bool:
        return bool(chunk.message.generation_id == app.consumer_generation_id)

    async def route(stream: StreamT[Any]) -> None:
        await route_in_order(
            cast("faust.Stream[Chunk]", stream).noack().events(), router, is_ours, metrics.in_flight.labels(INGEST).set
        )

    async def forget(_app: object, /, *revoked: set[TP], signal: BaseSignalT[Any], **_kwargs: object) -> None:
        del signal
        router.forget({partition.partition for partitions in revoked for partition in partitions})

    async def count(_app: object, /, *assigned: set[TP], signal: BaseSignalT[Any], **_kwargs: object) -> None:
        del signal
        metrics.rebalances.labels(INGEST).inc()
        metrics.router_partitions.set(sum(partition.topic == INGEST for tps in assigned for partition in tps))

    async def join(_app: object, /, *_assigned: set[TP], signal: BaseSignalT[Any], **_kwargs: object) -> None:
        del signal
        standing.joined()

    app.polled = standing.polled
    app.agent(ingest, name="router")(route)
    app.on_partitions_assigned.connect(join)
    app.on_partitions_revoked.connect(forget)
    app.on_partitions_assigned.connect(count)
    return app


async def route_in_order(
    chunks: AsyncIterable[EventT[Any]],
    router: Router,
    is_ours: Callable[[EventT[Any]], bool] = lambda _: True,
    observe: Callable[[int], None] = lambda _: None,
) -> None:
    """Decide what has come while Kafka still acknowledges what was decided before.

    The chunks of a partition are acknowledged in their order, each once all of its records are decided and in Kafka. A
    chunk that is not `is_ours` any more, since its partition was taken away, is left to whoever has it now. `observe` is
    told how many records are read and not acknowledged.

    Raises:
        Unavailable: Kafka refused a record for good. That chunk and all after it stay unacknowledged.
    """
    belt = _Belt(chunks, router, is_ours, observe)
    tasks = [asyncio.ensure_future(step()) for step in (belt.take_in, belt.decide, belt.acknowledge)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


class _Bite(NamedTuple):
    """What was decided together: `size` records. `waiting` as it was then (`Router.waiting`)."""

    chunks: list[EventT[Any]]
    size: int
    handed: Handed
    waiting: dict[int, int]


class _Belt:
    """Three steps that run beside each other, each in order.

    What has come is decided at once, whatever its partitions: one read and one write of Redis serve all of it, so that
    a router that falls behind takes larger bites.
    """

    def __init__(
        self,
        chunks: AsyncIterable[EventT[Any]],
        router: Router,
        is_ours: Callable[[EventT[Any]], bool],
        observe: Callable[[int], None],
    ) -> None:
        self._chunks = chunks
        self._router = router
        self._is_ours = is_ours
        self._observe = observe
        self._arrived: asyncio.Queue[EventT[Any]] = asyncio.Queue(BUFFERED)
        self._under_way: asyncio.Queue[_Bite] = asyncio.Queue(AHEAD)
        self._ahead = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._open: list[EventT[Any]] = []
        self._unacknowledged = 0

    async def take_in(self) -> None:
        async for chunk in self._chunks:
            await self._arrived.put(chunk)

    async def decide(self) -> None:
        while True:
            bite = [chunk for chunk in await self._next_bite() if self._is_ours(chunk)]
            records = [record for chunk in bite for record in cast("Chunk", chunk.value)]
            self._unacknowledged += len(records)
            self._observe(self._unacknowledged)
            await self._has_room.wait()
            handed = await self._router.decide(records)
            self._count(len(records))
            await self._under_way.put(_Bite(bite, len(records), handed, self._router.waiting))

    async def _next_bite(self) -> list[EventT[Any]]:
        """What has come; nothing, after a moment, where records that wait should be looked at again."""
        bite: list[EventT[Any]] = []
        if self._router.waiting:
            if self._unacknowledged >= UNACKNOWLEDGED:
                await asyncio.sleep(RETRY)
                return bite
            with suppress(TimeoutError):
                bite.append(await asyncio.wait_for(self._arrived.get(), RETRY))
        else:
            bite.append(await self._arrived.get())
        while not self._arrived.empty():
            bite.append(self._arrived.get_nowait())
        return bite

    async def acknowledge(self) -> None:
        while True:
            bite, size, handed, waiting = await self._under_way.get()
            await self._router.acknowledged(handed)
            self._count(-size)
            self._open += bite
            self._open = [chunk for chunk in self._open if not self._acknowledge(chunk, waiting)]
            self._observe(self._unacknowledged)

    def _count(self, records: int) -> None:
        self._ahead += records
        if self._ahead < AHEAD_RECORDS:
            self._has_room.set()
        else:
            self._has_room.clear()

    def _acknowledge(self, chunk: EventT[Any], waiting: Mapping[int, int]) -> bool:
        """Whether that could be done: nothing of it, and nothing before it, waited when the last batch was decided."""
        records = cast("Chunk", chunk.value)
        if records[-1].offset >= waiting.get(records[-1].partition, math.inf):
            return False
        self._unacknowledged -= len(records)
        chunk.ack()
        return True


async def run_app(app: RouterApp, stopping: asyncio.Event, standing: Standing) -> None:
    """Run until `stopping` is set.

    Raises:
        Unavailable: the agent gave up; what it had not acknowledged will be routed again.
    """
    standing.begin()
    await app.start()
    waits = [asyncio.ensure_future(stopping.wait()), asyncio.ensure_future(app.wait_until_stopped())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        standing.end()
        with suppress(TimeoutError):
            await asyncio.wait_for(app.stop(), STOP_TIMEOUT)
    if app.crash_reason is not None:
        raise Unavailable(f"the router stopped: {app.crash_reason}") from app.crash_reason
