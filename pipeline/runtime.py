"""What every service does around its work: event loop, logs, signals, health, metrics."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

import uvloop

from pipeline.config import Settings
from pipeline.observability.expiry import certificates, watch_certificates
from pipeline.observability.health import Health
from pipeline.observability.http import serve_health
from pipeline.observability.logging import setup_logging
from pipeline.observability.metrics import Metrics
from pipeline.observability.tracing import Tracing, open_tracing

logger = logging.getLogger(__name__)

HURRIED_EXIT = 130

SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread that has records to hand over gets its turn; Python's own 5 ms are felt on the way."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a service is given. It works until `stopping` is set, then finishes what is in flight and returns."""

    settings: Settings
    health: Health
    metrics: Metrics
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    tracing: Tracing | None = None
    """Makes spans; None: nobody wants any."""


Service = Callable[[Runtime], Awaitable[None]]


def run_service(name: str, settings: Settings, service: Service) -> None:
    """Run one service until SIGTERM or Ctrl-C. A second signal ends the process at once, which loses nothing.

    Raises:
        PipelineError: the service cannot go on; the text says why and what to change.
    """
    setup_logging(settings.log, name)
    sys.setswitchinterval(SWITCH_INTERVAL)
    uvloop.run(_run(name, settings, service))


async def _run(name: str, settings: Settings, service: Service) -> None:
    runtime = Runtime(settings, Health("service"), Metrics(), tracing=open_tracing(settings.tracing, name))
    _obey_signals(runtime.stopping)
    async with serve_health(settings.http, runtime.health, runtime.metrics), Background() as background:
        if named := list(certificates(settings)):
            background.start(watch_certificates(named, runtime.metrics))
        runtime.health.set("service", ok=True)
        await service(runtime)
    if runtime.tracing:
        await asyncio.to_thread(runtime.tracing.close)
    logger.info("%s stopped", name)


def _obey_signals(stopping: asyncio.Event) -> None:
    def obey() -> None:
        if stopping.is_set():
            os._exit(HURRIED_EXIT)
        logger.info("stopping")
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, obey)


class Background:
    """Tasks that run beside a service's work and end with it. Use as an async context manager."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Run `work`; should it fail, that is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("a background task failed", exc_info=error)


async def unless_stopped(stopping: asyncio.Event, work: Coroutine[None, None, T]) -> T | None:
    """The result of `work`, or None if `stopping` was set before it was there; then `work` is cancelled."""
    task = asyncio.ensure_future(work)
    stop = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return None


def spare_the_collector() -> None:
    """Call once everything is loaded. What is loaded stays, and thousands of records in flight are no garbage.

    Looking through them again and again is a fifth of a worker's CPU, and a full collection holds everything up for
    a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
