"""Keeps Redis knowing what one engine has in hand and has just finished, also when Redis was emptied."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable

from pipeline.delivery.commits import UNKNOWN
from pipeline.delivery.epoch import Epoch
from pipeline.delivery.ledger import Ledger
from pipeline.delivery.work import Work
from pipeline.storage.redis import REDIS_AWAY

logger = logging.getLogger(__name__)

RECENT = 10_000
"""Finished notifications whose marks are written back: Kafka, or the router, may yet bring them a second time."""

LOOK_EVERY = 0.25
"""Seconds between two looks, at least."""


class Keeper:
    """Watches the epoch of Redis. `epoch` is the one in which Redis knows all that this engine has begun."""

    def __init__(self, epoch: Epoch, ledger: Ledger) -> None:
        self.epoch = UNKNOWN
        self._present = epoch
        self._ledger = ledger
        self._recent: deque[tuple[str, bytes]] = deque(maxlen=RECENT)

    def finished(self, work: Work) -> None:
        """It needs nothing any more; its mark is remembered for a while."""
        if work.entry:
            self._recent.append((work.keys.entry, work.entry))

    async def watch(self, interval: float, in_hand: Callable[[], Iterable[Work]]) -> None:
        """For ever: look for a new epoch, and write back what the ledger then lacks. `in_hand`: what is not finished."""
        while True:
            await self.look(in_hand)
            await asyncio.sleep(max(interval, LOOK_EVERY))

    async def look(self, in_hand: Callable[[], Iterable[Work]]) -> None:
        """Once. Where Redis is away, nothing has changed yet."""
        try:
            present = await self._present.read()
        except REDIS_AWAY:
            return
        if present == self.epoch:
            return
        entries = [(work.keys.entry, entry) for work in in_hand() if (entry := work.in_ledger())]
        if self.epoch != UNKNOWN:
            logger.warning(
                "Redis was emptied or has started anew: writing back %d notifications in hand and %d finished ones",
                len(entries),
                len(self._recent),
            )
        await self._ledger.restore([*entries, *self._recent])
        self.epoch = present
