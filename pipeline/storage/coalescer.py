"""Turns the calls of one moment into one call: a single Redis or PostgreSQL call costs far more here than there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
R = TypeVar("R")


class Coalescer(Generic[K, R]):
    """Collects calls for `delay` seconds after the first, at most `limit`, and hands them to `flush` as one list.

    `flush` returns one result for each item, in order. What it raises reaches every caller of that list. A caller
    that is cancelled leaves the others alone; its item is flushed all the same.
    """

    def __init__(
        self, flush: Callable[[list[K]], Awaitable[list[R]]], *, delay: float = 0.001, limit: int = 500
    ) -> None:
        self._flush = flush
        self._delay = delay
        self._limit = limit
        self._waiting: list[tuple[K, asyncio.Future[R]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def call(self, item: K) -> R:
        """The result for `item`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future))
        if len(self._waiting) >= self._limit:
            self._start()
        elif self._timer is None:
            self._timer = loop.call_later(self._delay, self._start)
        return await future

    def _start(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        calls, self._waiting = self._waiting, []
        task = asyncio.get_running_loop().create_task(self._run(calls))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, calls: list[tuple[K, asyncio.Future[R]]]) -> None:
        try:
            results = await self._flush([item for item, _ in calls])
            answers = list(zip(calls, results, strict=True))
        except BaseException as error:
            _fail(calls, error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in answers:
            if not future.done():
                future.set_result(result)


def _fail(calls: list[tuple[K, asyncio.Future[R]]], error: BaseException) -> None:
    for _, future in calls:
        if future.done():
            continue
        if isinstance(error, Exception):
            future.set_exception(error)
        else:
            future.cancel()
