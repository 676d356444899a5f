"""Users as they are now, read from PostgreSQL alone: nothing is written, not even a cache."""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection

import msgspec

from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql
from pipeline.users.snapshot import UserSnapshot

_decoder = msgspec.json.Decoder(UserSnapshot)


class People:
    """At most `most` are remembered, each for at most `keep` seconds."""

    def __init__(
        self, pool: Pool, *, most: int = 20_000, keep: float = 3_600.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._most = most
        self._keep = keep
        self._clock = clock
        self._known: OrderedDict[str, tuple[UserSnapshot, float]] = OrderedDict()

    async def find(self, user_ids: Collection[str]) -> dict[str, UserSnapshot]:
        """A snapshot for each id, unknown users too.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
        """
        now = self._clock()
        ids = list(dict.fromkeys(user_ids))
        missing = [i for i in ids if i not in self._known or self._known[i][1] < now]
        if missing:
            with reachable():
                rows = await self._pool.fetch(sql("snapshot_by_ids"), missing)
            for row in rows:
                self._known[row["user_id"]] = (_decoder.decode(row["snapshot"]), now + self._keep)
        found = {i: self._known[i][0] for i in ids}
        for i in missing:
            self._known.move_to_end(i)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return found
