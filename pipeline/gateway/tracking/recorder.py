"""Tells opens and clicks on the status topic, behind the answers: a reader never waits for Kafka."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from pipeline.catalogue.model import Catalogue, Category, Stream, Tracking
from pipeline.channels.tracking import may_track, tracking_of
from pipeline.errors import Unavailable
from pipeline.events.references import Feedback, Reference
from pipeline.gateway.feedback import FeedbackWriter
from pipeline.observability.metrics import Metrics
from pipeline.storage.redis import REDIS_AWAY
from pipeline.users.directory import UserDirectory
from pipeline.users.snapshot import UserSnapshot

logger = logging.getLogger(__name__)

_AWAY: tuple[type[Exception], ...] = (Unavailable, *REDIS_AWAY)

MOST_WAITING = 20_000
"""Pieces that wait for Kafka, some kilobytes each; beyond them what is new is dropped, and counted."""

BATCH = 500
RETRY_SECONDS = 1.0
CLOSING_SECONDS = 5.0


class Seen(NamedTuple):
    """An open or a click; or what must be told of whoever it is (`always`)."""

    reference: Reference
    feedback: Feedback
    always: bool = False


class Recorder:
    """One for each gateway. What a gateway that dies has not told yet is lost: it would be an open or a click less."""

    def __init__(
        self, writer: FeedbackWriter, directory: UserDirectory, catalogue: Catalogue, metrics: Metrics
    ) -> None:
        self._writer = writer
        self._directory = directory
        self._catalogue = catalogue
        self._count = metrics.tracked
        self._waiting: deque[Seen] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Tell what waits, for some seconds at most."""
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("%d opens and clicks were not told: Kafka or Redis is away", len(self._waiting))
        if self._task is not None:
            self._task.cancel()

    def put(self, seen: Seen) -> None:
        """Tell it soon."""
        if len(self._waiting) >= MOST_WAITING:
            self._count.labels(seen.feedback.status, "dropped").inc()
            return
        self._waiting.append(seen)
        self._idle.clear()
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            batch = list(islice(self._waiting, BATCH))
            try:
                await self._tell(batch)
            except _AWAY as error:
                logger.warning("%d opens and clicks wait: %s", len(self._waiting), error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except Exception:
                logger.exception("%d opens and clicks cannot be told", len(batch))
            for _ in batch:
                self._waiting.popleft()
            if not self._waiting:
                self._wake.clear()
                self._idle.set()

    async def _tell(self, batch: Sequence[Seen]) -> None:
        """What of it may be told: who opted out since the mail went out is not tracked any more."""
        users = await self._directory.snapshots({seen.reference.recipient_id for seen in batch})
        told = []
        for seen in batch:
            if seen.always or self._may(users[seen.reference.recipient_id], seen.reference):
                told.append(seen)
            else:
                self._count.labels(seen.feedback.status, "opted_out").inc()
        await self._writer.write([(seen.reference, seen.feedback) for seen in told])
        for seen in told:
            self._count.labels(seen.feedback.status, "told").inc()

    def _may(self, user: UserSnapshot, reference: Reference) -> bool:
        return user.known and may_track(self._mode(reference), user, reference.channel)

    def _mode(self, reference: Reference) -> Tracking:
        """As the catalogue has it now; of a category that it no longer knows, as its mail's stream had it."""
        category = self._catalogue.categories.get(reference.category)
        return tracking_of(category or Category(reference.category, Stream(reference.stream), False))
