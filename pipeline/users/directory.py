"""Who a user is, right now: snapshots cached in Redis, read from PostgreSQL when the cache does not know.

A value in Redis is the snapshot's version, 16 decimal digits, the time until which it counts, 13 digits of ms, and the
snapshot as MessagePack; the bare version is a tombstone: "what was read before this version is stale". A script lets
neither replace anything newer, so that a snapshot read before a change and written after its invalidation loses
(``docs/decisions/0010-snapshot-cache-invalidation.md``). A snapshot past its time is kept for a while: it stands in
while PostgreSQL is away, for what the catalogue exempts (``docs/stores.md``).
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple, Self

import msgspec
from redis.asyncio import Redis

from pipeline.config import RouterSettings
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
TIME_DIGITS = 13
HEADER = VERSION_DIGITS + TIME_DIGITS
PARSED_SNAPSHOTS = 5_000
BATCH = 1_000

_AWAY: tuple[type[Exception], ...] = (*REDIS_AWAY, Unavailable)

_msgpack = msgspec.msgpack.Encoder()
_from_msgpack = msgspec.msgpack.Decoder(UserSnapshot)
_from_json = msgspec.json.Decoder(UserSnapshot)


class Found(NamedTuple):
    """Snapshots by user id. `stale` are those past their time, of users who are not `known`; each user is in one or none."""

    known: dict[str, UserSnapshot]
    stale: dict[str, UserSnapshot]


class Cached(NamedTuple):
    """A snapshot as Redis holds it; from `fresh_until` (ms) on it is stale."""

    snapshot: UserSnapshot
    fresh_until: int


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class UserDirectory:
    """Snapshots of users by id. Times are in seconds: `ttl` they count, `stale_ttl` longer they are kept.

    `clock` is monotonic, in seconds, `now` in ms since the epoch: processes compare it, so theirs must agree within what
    `ttl` may be wrong.
    """

    def __init__(
        self,
        pool: Pool,
        redis: Redis,
        *,
        ttl: float = SNAPSHOT_TTL,
        stale_ttl: float = 0.0,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], int] = now_ms,
    ) -> None:
        self._pool = pool
        self._redis = redis
        self._ttl = ttl
        self._stale_ttl = stale_ttl
        self._now = now
        self._reads = metrics.cache_reads if metrics else None
        self._clock = clock
        self._store = SlotScript(redis, lua("store_snapshots"))
        self._parse = lru_cache(PARSED_SNAPSHOTS)(_parse)

    @classmethod
    def of(cls, pool: Pool, redis: Redis, settings: RouterSettings, metrics: Metrics) -> Self:
        """The directory of a service: all of them cache alike."""
        return cls(pool, redis, ttl=settings.snapshot_ttl, stale_ttl=settings.snapshot_stale_ttl, metrics=metrics)

    @property
    def longest_kept(self) -> float:
        """Seconds after which nothing of what was read is in Redis any more."""
        return self._ttl + self._stale_ttl

    @staticmethod
    def snapshot_key(user_id: str) -> str:
        """The Redis key of a user's snapshot; the hash tag keeps all of a user's keys in one cluster slot."""
        return f"u:{hash_tag(user_id)}"

    def read(self, user_ids: Iterable[str], values: Iterable[bytes | None]) -> Found:
        """What the values in Redis say of these users. In neither part: a tombstone, or another release's format."""
        now, found = self._now(), Found({}, {})
        for user_id, raw in zip(user_ids, values, strict=True):
            if raw is not None and (cached := self._parse(raw)) is not None:
                (found.known if cached.fresh_until > now else found.stale)[user_id] = cached.snapshot
        self._count("hit", len(found.known))
        return found

    async def cached(self, user_ids: Collection[str]) -> Found:
        """What Redis knows of these users.

        Raises:
            one of `REDIS_AWAY`: Redis cannot be reached.
        """
        ids = list(user_ids)
        return (
            self.read(ids, await get_many(self._redis, [self.snapshot_key(i) for i in ids])) if ids else Found({}, {})
        )

    async def snapshots(self, user_ids: Collection[str]) -> dict[str, UserSnapshot]:
        """A snapshot for each id, from Redis, else from PostgreSQL; unknown users too.

        Raises:
            one of `REDIS_AWAY`: Redis cannot be reached.
            Unavailable: PostgreSQL cannot be reached, and was needed.
        """
        ids = list(dict.fromkeys(user_ids))
        known = (await self.cached(ids)).known
        return known | await self.load([i for i in ids if i not in known])

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
            await self._write(self._entry(snapshot) for snapshot in snapshots)
        except REDIS_AWAY as error:
            logger.debug("loaded snapshots are not cached: %s", error)

    def _entry(self, snapshot: UserSnapshot) -> tuple[str, bytes, float]:
        ttl, kept = (self._ttl, self._stale_ttl) if snapshot.known else (UNKNOWN_TTL, 0.0)
        return snapshot.user_id, encode(snapshot, self._now() + int(ttl * 1000)), ttl + kept

    async def _write(self, entries: Iterable[tuple[str, bytes, float]]) -> None:
        calls = [
            Call((self.snapshot_key(user_id),), (value, max(1, int(ttl * 1000)))) for user_id, value, ttl in entries
        ]
        if calls:
            await self._store.tell(calls)

    def _count(self, result: str, number: int) -> None:
        if self._reads and number:
            self._reads.labels(result).inc(number)


def encode(snapshot: UserSnapshot, fresh_until: int) -> bytes:
    """The value that Redis holds for `snapshot`; `fresh_until` in ms since the epoch."""
    return _header(snapshot.version) + b"%0*d" % (TIME_DIGITS, fresh_until) + _msgpack.encode(snapshot)


def _header(version: int) -> bytes:
    return b"%0*d" % (VERSION_DIGITS, version)


def _parse(raw: bytes) -> Cached | None:
    time_digits = raw[VERSION_DIGITS:HEADER]
    if len(raw) <= HEADER or not time_digits.isdigit():
        return None
    try:
        return Cached(_from_msgpack.decode(memoryview(raw)[HEADER:]), int(time_digits))
    except msgspec.MsgspecError:
        return None


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    everyone = list(ids)
    return (everyone[i : i + BATCH] for i in range(0, len(everyone), BATCH))
