"""Who a user is, right now: snapshots cached in Redis, read from PostgreSQL when the cache does not know.

A value in Redis is the snapshot's version, 16 decimal digits, and the snapshot as MessagePack; the bare version is a
tombstone: "what was read before this version is stale". A script lets neither replace anything newer, so that a
snapshot read before a change and written after its invalidation loses
(``docs/decisions/0010-snapshot-cache-invalidation.md``).
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache

import msgspec
from redis.asyncio import Redis

from pipeline.errors import Unavailable
from pipeline.observability.metrics import Metrics
from pipeline.storage.keys import hash_tag
from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.redis import REDIS_AWAY
from pipeline.storage.scripts import lua, sql
from pipeline.storage.slots import Call, SlotScript, get_many
from pipeline.users.snapshot import UserSnapshot

logger = logging.getLogger(__name__)

SNAPSHOT_TTL = 300.0
UNKNOWN_TTL = 60.0
TOMBSTONE_TTL = 60.0
SLOWEST_READ = TOMBSTONE_TTL / 2
"""A snapshot that took longer from the start of its query to here is not cached: its tombstone may be gone."""

VERSION_DIGITS = 16
PARSED_SNAPSHOTS = 5_000
BATCH = 1_000

_AWAY: tuple[type[Exception], ...] = (*REDIS_AWAY, Unavailable)

_msgpack = msgspec.msgpack.Encoder()
_from_msgpack = msgspec.msgpack.Decoder(UserSnapshot)
_from_json = msgspec.json.Decoder(UserSnapshot)


class UserDirectory:
    """Snapshots of users by id. Times to live are in seconds; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        pool: Pool,
        redis: Redis,
        *,
        ttl: float = SNAPSHOT_TTL,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._redis = redis
        self._ttl = ttl
        self._reads = metrics.cache_reads if metrics else None
        self._clock = clock
        self._store = SlotScript(redis, lua("store_snapshots"))
        self._parse = lru_cache(PARSED_SNAPSHOTS)(_parse)

    @staticmethod
    def snapshot_key(user_id: str) -> str:
        """The Redis key of a user's snapshot; the hash tag keeps all of a user's keys in one cluster slot."""
        return f"u:{hash_tag(user_id)}"

    def decode(self, raw: bytes) -> UserSnapshot | None:
        """What a value in Redis says; None where `load` must be asked: a tombstone, or another release's format."""
        return self._parse(raw)

    async def snapshots(self, user_ids: Collection[str]) -> dict[str, UserSnapshot]:
        """A snapshot for each id, from Redis, else from PostgreSQL; unknown users too.

        Raises:
            one of `REDIS_AWAY`: Redis cannot be reached.
            Unavailable: PostgreSQL cannot be reached, and was needed.
        """
        ids = list(dict.fromkeys(user_ids))
        if not ids:
            return {}
        values = await get_many(self._redis, [self.snapshot_key(i) for i in ids])
        cached = ((i, self.decode(raw)) for i, raw in zip(ids, values, strict=True) if raw is not None)
        found = {i: snapshot for i, snapshot in cached if snapshot is not None}
        self._count("hit", len(found))
        return found | await self.load([i for i in ids if i not in found])

    async def load(self, user_ids: Collection[str]) -> dict[str, UserSnapshot]:
        """A snapshot for each id from PostgreSQL, one query for each thousand, and into the cache.

        Redis being away only leaves them uncached.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
        """
        found: dict[str, UserSnapshot] = {}
        for batch in _batches(dict.fromkeys(user_ids)):
            self._count("miss", len(batch))
            started = self._clock()
            with reachable():
                rows = await self._pool.fetch(sql("snapshot_by_ids"), batch)
            loaded = {row["user_id"]: _from_json.decode(row["snapshot"]) for row in rows}
            if self._clock() - started < SLOWEST_READ:
                await self._cache(loaded.values())
            found |= loaded
        return found

    async def invalidate(self, user_ids: Collection[str]) -> None:
        """Make what is cached of these users stale; what is being read at this moment too.

        Raises:
            one of `REDIS_AWAY`: Redis cannot be reached; call it again.
            Unavailable: PostgreSQL cannot be reached; call it again.
        """
        for batch in _batches(dict.fromkeys(user_ids)):
            with reachable():
                rows = await self._pool.fetch(sql("user_versions_by_ids"), batch)
            await self.bury({row["user_id"]: row["version"] for row in rows})

    async def bury(self, versions: Mapping[str, int]) -> None:
        """Write a tombstone for each user: nothing older than this version counts any more.

        Raises:
            one of `REDIS_AWAY`: Redis cannot be reached; call it again.
        """
        for batch in _batches(versions):
            await self._write((i, _header(versions[i]), TOMBSTONE_TTL) for i in batch)

    async def changed(self, user_ids: Collection[str]) -> None:
        """`invalidate` after a committed write: that stands, so an absent server is only logged.

        The listeners (`pipeline.users.invalidation`) invalidate when it is back.
        """
        try:
            await self.invalidate(user_ids)
        except _AWAY as error:
            logger.warning("snapshots of %d changed users stay cached for now: %s", len(user_ids), error)

    async def _cache(self, snapshots: Iterable[UserSnapshot]) -> None:
        try:
            await self._write((s.user_id, encode(s), self._ttl if s.known else UNKNOWN_TTL) for s in snapshots)
        except REDIS_AWAY as error:
            logger.debug("loaded snapshots are not cached: %s", error)

    async def _write(self, entries: Iterable[tuple[str, bytes, float]]) -> None:
        calls = [
            Call((self.snapshot_key(user_id),), (value, max(1, int(ttl * 1000)))) for user_id, value, ttl in entries
        ]
        if calls:
            await self._store.tell(calls)

    def _count(self, result: str, number: int) -> None:
        if self._reads and number:
            self._reads.labels(result).inc(number)


def encode(snapshot: UserSnapshot) -> bytes:
    """The value that Redis holds for `snapshot`."""
    return _header(snapshot.version) + _msgpack.encode(snapshot)


def _header(version: int) -> bytes:
    return b"%0*d" % (VERSION_DIGITS, version)


def _parse(raw: bytes) -> UserSnapshot | None:
    if len(raw) <= VERSION_DIGITS:
        return None
    try:
        return _from_msgpack.decode(memoryview(raw)[VERSION_DIGITS:])
    except msgspec.MsgspecError:
        return None


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    everyone = list(ids)
    return (everyone[i : i + BATCH] for i in range(0, len(everyone), BATCH))
