"""Cuts off calls that last too long, with one timer for all of them.

`asyncio.timeout` makes a timer for each call, which costs more than everything else that a chain does (6.5 µs of 13).
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")

RESOLUTION = 0.1
"""Seconds between two looks at the clock: how much later than asked a call may be cut off."""


class _Call:
    __slots__ = ("cancelling", "deadline", "late", "task")

    def __init__(self, task: "asyncio.Task[Any]", deadline: float) -> None:
        self.task = task
        self.deadline = deadline
        self.cancelling = task.cancelling()
        self.late = False


class CutOff:
    """For one event loop. Deadlines are times of its clock."""

    def __init__(self) -> None:
        self._calls: dict[_Call, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def at(self, deadline: float, answer: Awaitable[T]) -> T:
        """What `answer` gives, if it comes in time.

        Raises:
            TimeoutError: it did not.
        """
        task = asyncio.current_task()
        assert task is not None
        call = _Call(task, deadline)
        self._calls[call] = None
        if self._timer is None:
            self._timer = task.get_loop().call_later(RESOLUTION, self._look)
        try:
            return await answer
        except asyncio.CancelledError:
            if call.late and task.uncancel() <= call.cancelling:
                raise TimeoutError from None
            raise
        finally:
            del self._calls[call]

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for call in self._calls:
            if call.deadline <= now and not call.late:
                call.late = True
                call.task.cancel()
        self._timer = loop.call_later(RESOLUTION, self._look) if self._calls else None
