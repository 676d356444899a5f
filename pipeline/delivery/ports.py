"""What the engine needs of others beyond its ledger, its source and its sender."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from pipeline.users.directory import Found


class Directory(Protocol):
    """Who users are, now (`pipeline.users.lookup.Lookup`)."""

    async def find(self, user_ids: Collection[str]) -> Found:
        """All who can be found now, unknown users too, and copies past their time; without waiting for who cannot.

        Raises:
            one of `REDIS_AWAY`: the cache is away.
        """


@dataclass(frozen=True, slots=True)
class Clock:
    """`now` in ms since the epoch, `monotonic` in seconds of the event loop's clock."""

    now: Callable[[], int]
    monotonic: Callable[[], float]
