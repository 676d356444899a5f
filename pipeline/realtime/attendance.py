"""Keeps the presence of everybody who is connected to this instance."""

import asyncio
import logging
import time

from pipeline.realtime.hub import Hub
from pipeline.realtime.presence import Attendance
from pipeline.storage.redis import REDIS_AWAY

logger = logging.getLogger(__name__)

GATHER = 0.2
"""Seconds in which comings and goings are gathered into one call."""


class Attendant:
    """Notes who comes at once, who stays once in a third of the lease, who goes at once."""

    def __init__(self, hub: Hub, attendance: Attendance, lease: float) -> None:
        self._hub = hub
        self._attendance = attendance
        self._every = lease / 3
        self._noted: set[str] = set()
        self._away = False

    async def run(self) -> None:
        """Until cancelled."""
        due = time.monotonic()
        while True:
            all_again = time.monotonic() >= due
            if all_again:
                due = time.monotonic() + self._every
            await self._try(all_again=all_again)
            await asyncio.sleep(GATHER)

    async def leave(self) -> None:
        """Everybody has gone; what cannot be noted runs out by itself."""
        await self._try(all_again=False)

    async def _try(self, *, all_again: bool) -> None:
        here = set(self._hub.users)
        came, went = (here if all_again else here - self._noted), self._noted - here
        try:
            if came:
                await self._attendance.here(list(came), now_ms())
            if went:
                await self._attendance.gone(list(went), now_ms())
        except REDIS_AWAY as error:
            if not self._away:
                logger.warning("presence is not noted: %s", type(error).__name__)
            self._away = True
            return
        self._noted, self._away = here, False


def now_ms() -> int:
    return time.time_ns() // 1_000_000
