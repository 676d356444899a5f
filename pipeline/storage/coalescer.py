"""Turns the calls of one moment into one call: a single Redis or PostgreSQL call costs far more here than there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

K = TypeVar("K")
R = TypeVar("R")


BUSY = 10
"""Calls in one list from which on it pays to wait for more."""


class Coalescer(Generic[K, R]):
    """Collects calls, at most `limit`, and hands them to `flush` as one list.

    The first call after a quiet moment goes out at the end of the event loop's turn, with all others of that turn.
    After a list of `BUSY` calls or more the next goes out `spacing` seconds later, after a shorter one sooner in
    proportion. So a lone call waits for nothing, and under load the lists grow instead of their number: each costs two
    system calls, and wakes another process.

    `flush` returns one result for each item, in order. What it raises reaches every caller of that list. A caller
    that is cancelled leaves the others alone; its item is flushed all the same.
    """

    def __init__(
        self, flush: Callable[[list[K]], Awaitable[list[R]]], *, spacing: float = 0.005, limit: int = 500
    ) -> None:
        self._flush = flush
        self._spacing = spacing
        self._limit = limit
        self._waiting: list[tuple[K, asyncio.Future[R]]] = []
        self._timer: asyncio.Handle | None = None
        self._next_start = 0.0
        self._running: set[asyncio.Task[None]] = set()
        self._unanswered = 0

    def __len__(self) -> int:
        """Calls that have no result yet."""
        return self._unanswered

    async def call(self, item: K) -> R:
        """The result for `item`."""
        return await self.submit(item)

    def submit(self, item: K) -> "asyncio.Future[R]":
        """The same for who does not wait; what the future fails with must be looked at."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._unanswered += 1
        self._waiting.append((item, future))
        if len(self._waiting) >= self._limit:
            self._start()
        elif self._timer is None:
            lone = loop.time() >= self._next_start
            self._timer = loop.call_soon(self._start) if lone else loop.call_at(self._next_start, self._start)
        return future

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer:
            self._timer.cancel()
            self._timer = None
        calls, self._waiting = self._waiting, []
        self._next_start = loop.time() + self._spacing * min(1.0, len(calls) / BUSY)
        task = loop.create_task(self._run(calls))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, calls: list[tuple[K, asyncio.Future[R]]]) -> None:
        try:
            await self._answer(calls)
        finally:
            self._unanswered -= len(calls)

    async def _answer(self, calls: list[tuple[K, asyncio.Future[R]]]) -> None:
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
