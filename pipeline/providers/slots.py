"""Places at a provider that takes only so many calls at once; the most urgent is next. For one event loop."""

import asyncio
import heapq


class Slots:
    """`capacity` places. Waiters come in by rank (the lowest first), then in order."""

    def __init__(self, capacity: int) -> None:
        self._free = capacity
        self._waiting: list[tuple[int, int, asyncio.Future[bool]]] = []
        self._serial = 0

    def try_acquire(self) -> bool:
        """Take a place if one is free."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    async def acquire(self, rank: int) -> bool:
        """Wait for a place. False: the waiters were sent away (`dismiss`), and there is none."""
        if self.try_acquire():
            return True
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._serial += 1
        heapq.heappush(self._waiting, (rank, self._serial, future))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.result():
                self.release()
            raise

    def release(self) -> None:
        """Give a place back: the next waiter has it at once."""
        while self._waiting:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(True)
                return
        self._free += 1

    def dismiss(self) -> None:
        """Send all waiters away without a place."""
        waiting, self._waiting = self._waiting, []
        for _, _, future in waiting:
            if not future.done():
                future.set_result(False)
