"""What the engine needs of others beyond its ledger, its source and its sender."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from pipeline.users.snapshot import UserSnapshot


class Directory(Protocol):
    """Who users are, now."""

    async def snapshots(self, user_ids: Collection[str]) -> dict[str, UserSnapshot]:
        """A snapshot for each id, unknown users too.

        Raises:
            Unavailable or one of `REDIS_AWAY`: a server is away.
        """


@dataclass(frozen=True, slots=True)
class Clock:
    """`now` in ms since the epoch, `monotonic` in seconds of the event loop's clock."""

    now: Callable[[], int]
    monotonic: Callable[[], float]
