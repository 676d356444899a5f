"""Erases users: their rows, their keys; then looks everywhere whether anything is left."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec
from redis.asyncio import Redis

from pipeline.privacy.search import search_postgres, search_redis
from pipeline.privacy.tables import erase_rows, export_rows
from pipeline.storage.audit import AuditTrail, Details
from pipeline.storage.keys import hash_tag
from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql
from pipeline.users.directory import UserDirectory

ROUNDS = 3
"""A service that was at work on the user may write a key once more while the keys are deleted."""


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased, and where something is left: columns (``table.column``) and kinds of Redis keys."""

    users: int
    rows: dict[str, int]
    keys: int
    left_in_postgresql: list[str]
    left_in_redis: list[str]

    @property
    def complete(self) -> bool:
        return not self.left_in_postgresql and not self.left_in_redis


async def erase(
    pool: Pool, redis: Redis, directory: UserDirectory, user_ids: Sequence[str], *, who: str, why: str, at: datetime
) -> Erasure:
    """Erase users for good; doing it again is harmless. What is in Kafka for them is suppressed: nobody knows them.

    Raises:
        Unavailable: PostgreSQL is away.
        one of `REDIS_AWAY`: Redis is away; do it again.
    """
    ids = list(dict.fromkeys(user_ids))
    with reachable():
        async with pool.acquire() as connection:
            needles = {needle for user_id in ids for needle in _names(user_id, await export_rows(connection, user_id))}
            async with connection.transaction():
                hashes = [str(row[0]) for row in await connection.fetch(sql("hash_users"), ids)]
                rows = await erase_rows(connection, ids)
    await directory.bury(dict.fromkeys(ids, 10**15))  # above any version: what is being read now is stale
    keys = await _delete_keys(redis, ids)
    with reachable():
        async with pool.acquire() as connection, connection.transaction(readonly=True):
            left = await search_postgres(connection, needles)
    left_in_redis = await search_redis(redis, needles)
    for user in hashes:
        details: Details = {
            "keys": keys,
            "rows": rows,
            "users_in_this_run": len(ids),
            "complete": not left and not left_in_redis,
        }
        await AuditTrail(pool).record(
            who=who, action="users.erase", target=f"user:{user}", why=why, details=details, at=at
        )
    return Erasure(users=len(ids), rows=rows, keys=keys, left_in_postgresql=left, left_in_redis=left_in_redis)


async def _delete_keys(redis: Redis, user_ids: Iterable[str]) -> int:
    tags = [hash_tag(user_id).encode() for user_id in user_ids]
    snapshots = {UserDirectory.snapshot_key(user_id).encode() for user_id in user_ids}
    deleted = 0
    for _ in range(ROUNDS):
        doomed = [key async for key in redis.scan_iter(count=1_000) if any(tag in key for tag in tags)]
        doomed = [key for key in doomed if key not in snapshots]
        for key in doomed:
            deleted += await redis.delete(key)
        if not doomed:
            break
        await asyncio.sleep(0.1)
    return deleted


def _names(user_id: str, rows: dict[str, list[object]]) -> Iterable[str]:
    yield user_id
    for row in [row for found in rows.values() for row in found]:
        if isinstance(row, dict):
            yield from (row[name] for name in ("email", "phone", "token") if row.get(name))
