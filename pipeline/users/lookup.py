"""Users for those who cannot wait: who cannot be looked up in time is loaded beside them, and found the next time."""

import asyncio
import logging
from collections.abc import Collection
from types import TracebackType
from typing import Self

from pipeline.errors import Unavailable
from pipeline.observability.health import Health
from pipeline.observability.patience import until_available
from pipeline.users.directory import Found, UserDirectory
from pipeline.users.snapshot import UserSnapshot

logger = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that a caller waits for PostgreSQL; from then on it counts as away until it has answered."""


class Lookup:
    """A `UserDirectory` whose PostgreSQL may be away or slow. Use as an async context manager.

    While it is away nobody waits for it: one task loads all that were asked for meanwhile, again and again until it
    succeeds, into the cache, where they are found then.
    """

    def __init__(self, directory: UserDirectory, health: Health, *, patience: float = PATIENCE) -> None:
        self.directory = directory
        self._health = health
        self._patience = patience
        self._wanted: set[str] = set()
        self._recovery: asyncio.Task[None] | None = None
        self.away = False
        """Whether PostgreSQL is waited for: nobody who is not cached can be found now."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._recovery:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)

    async def find(self, user_ids: Collection[str]) -> Found:
        """All who can be found now, unknown users too; who is in neither part of the answer is to be asked for again.

        Raises:
            one of `REDIS_AWAY`: Redis cannot be reached.
            ConfigurationError: PostgreSQL refuses us.
        """
        return await self.complete(await self.directory.cached(user_ids), user_ids)

    async def complete(self, found: Found, user_ids: Collection[str]) -> Found:
        """`find`, where Redis has been asked already."""
        missing = [user_id for user_id in dict.fromkeys(user_ids) if user_id not in found.known]
        if not missing:
            return found
        loaded = await self._load(missing)
        stale = {user_id: snapshot for user_id, snapshot in found.stale.items() if user_id not in loaded}
        return Found(found.known | loaded, stale)

    async def _load(self, user_ids: list[str]) -> dict[str, UserSnapshot]:
        if self._recovery and self._recovery.done():
            self._recovery.result()
        if self.away:
            self._wanted.update(user_ids)
            return {}
        task = asyncio.ensure_future(self.directory.load(user_ids))
        try:
            return await asyncio.wait_for(asyncio.shield(task), self._patience)
        except (Unavailable, TimeoutError) as error:
            task.add_done_callback(_forget)
            self._recover(user_ids, error)
            return {}

    def _recover(self, user_ids: list[str], error: Exception) -> None:
        text = (
            f"users cannot be looked up now: {str(error) or f'PostgreSQL did not answer within {self._patience:g} s'}"
        )
        logger.warning("%s; those who are not cached wait", text)
        self._health.set("postgresql", ok=False, detail=text)
        self._wanted.update(user_ids)
        self.away = True
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.get_running_loop().create_task(self._load_wanted())

    async def _load_wanted(self) -> None:
        while self._wanted:
            await until_available("postgresql", self._load_some, away=(Unavailable,), health=self._health)
            self.away = False

    async def _load_some(self) -> None:
        """Asked anew at each try: more may be wanted by then."""
        some = list(self._wanted)
        await self.directory.load(some)
        self._wanted.difference_update(some)


def _forget(task: "asyncio.Task[dict[str, UserSnapshot]]") -> None:
    """What a load ended with after its caller had gone: the next one sees for itself."""
    if not task.cancelled() and (error := task.exception()):
        logger.debug("a late look-up of users failed: %s", error)
