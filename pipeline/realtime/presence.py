"""Who is connected, and when they were last: noted by the instances in Redis, read by whoever wants to know.

One sorted set for each user: instances by the time (ms since 1970) until which the user counts as connected there. An
instance that dies leaves an entry that runs out by itself.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple, cast

from redis.asyncio import Redis

from pipeline.storage.keys import hash_tag
from pipeline.storage.scripts import lua
from pipeline.storage.slots import Call, SlotScript

AT_ONCE = 500
"""Users noted in one call."""


class Seen(NamedTuple):
    """Whether a user is connected, and when they were last; None: not within what is remembered."""

    connected: bool
    last: datetime | None


def presence_key(user_id: str) -> str:
    return f"presence:{hash_tag(user_id)}"


class Presence:
    """Reads. ``e-mail only if not seen in-app within 10 minutes``: ``not await presence.seen_since(user, ten_minutes_ago)``."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def seen(self, user_id: str, now: datetime) -> Seen:
        """Raises one of `REDIS_AWAY`."""
        found = await self._redis.zrange(presence_key(user_id), 0, 0, desc=True, withscores=True)
        if not found:
            return Seen(connected=False, last=None)
        until = datetime.fromtimestamp(cast("list[tuple[bytes, float]]", found)[0][1] / 1000, UTC)
        return Seen(connected=until > now, last=min(until, now))

    async def seen_since(self, user_id: str, since: datetime, now: datetime) -> bool:
        """Whether the user was connected at any time from `since` to `now`. Raises one of `REDIS_AWAY`."""
        last = (await self.seen(user_id, now)).last
        return last is not None and last >= since


class Attendance:
    """Writes, for one instance. `lease`: seconds that a note holds; `memory`: seconds that the last one is kept."""

    def __init__(self, redis: Redis, instance: str, lease: float, memory: float) -> None:
        self._script = SlotScript(redis, lua("presence_note"))
        self._instance = instance
        self._lease_ms = int(lease * 1000)
        self._memory = max(1, int(max(memory, lease)))

    async def here(self, user_ids: Sequence[str], now_ms: int) -> None:
        """They are connected now. Raises one of `REDIS_AWAY`."""
        await self._note(user_ids, now_ms + self._lease_ms, now_ms)

    async def gone(self, user_ids: Sequence[str], now_ms: int) -> None:
        """They were connected until now. Raises one of `REDIS_AWAY`."""
        await self._note(user_ids, now_ms, now_ms)

    async def _note(self, user_ids: Sequence[str], until: int, now: int) -> None:
        for start in range(0, len(user_ids), AT_ONCE):
            calls = [Call((presence_key(user_id),)) for user_id in user_ids[start : start + AT_ONCE]]
            await self._script.tell(calls, (self._instance, until, now, self._memory))
