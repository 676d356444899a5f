"""The keys that are in use, read from PostgreSQL and trusted for some seconds."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from pipeline.errors import Unavailable
from pipeline.gateway.access import Service
from pipeline.gateway.auth.keys import PresentedKey, is_good, service
from pipeline.storage.api_keys import ApiKey, ApiKeys

MOST_REMEMBERED = 10_000
STALE_SECONDS = 300.0
"""How long a known key is good while PostgreSQL is away: nobody can revoke one then, but for a split network."""


class _Known(NamedTuple):
    key: ApiKey | None
    caller: Service | None
    read_at: float


class Keyring:
    """Looks keys up; each is read again after `ttl` seconds, so that a revocation counts within that time.

    Ids that do not exist are remembered too, so that guessing does not reach the database each time. `clock` is
    monotonic, in seconds; `now` is the time of day, UTC.
    """

    def __init__(
        self,
        keys: ApiKeys,
        ttl: float,
        clock: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys = keys
        self._ttl = ttl
        self._clock = clock
        self._now = now
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._reading: dict[str, asyncio.Task[_Known]] = {}

    async def find(self, shown: PresentedKey) -> Service | None:
        """Whom the key lets in; None: nobody.

        Raises:
            Unavailable: PostgreSQL is away, and the key was not seen lately.
        """
        known = self._known.get(shown.key_id)
        if known is None or self._clock() - known.read_at >= self._ttl:
            known = await self._refresh(shown.key_id, known)
        if known.key is None or not is_good(known.key, shown, self._now()):
            return None
        return known.caller

    async def _refresh(self, key_id: str, old: _Known | None) -> _Known:
        """One query for all who ask at the same time."""
        task = self._reading.get(key_id)
        if task is None:
            task = self._reading[key_id] = asyncio.get_running_loop().create_task(self._read(key_id))
            task.add_done_callback(lambda _: self._reading.pop(key_id, None))
        try:
            return await asyncio.shield(task)
        except Unavailable:
            if old is None or old.key is None or self._clock() - old.read_at > STALE_SECONDS:
                raise
            return old

    async def _read(self, key_id: str) -> _Known:
        began = self._clock()
        key = await self._keys.get(key_id)
        known = _Known(key, service(key) if key else None, began)
        self._known[key_id] = known
        self._known.move_to_end(key_id)
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)
        return known
