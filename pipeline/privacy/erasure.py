"""Erases users: what waits for them, their rows, their keys, their part of the archive; then looks everywhere whether
anything is left.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

import msgspec
from redis.asyncio import Redis

from pipeline.privacy.search import search_postgres, search_redis
from pipeline.privacy.tables import erase_rejected, erase_rows, export_rows
from pipeline.privacy.waits import Tell, end_waits, stop_waits
from pipeline.storage.audit import AuditTrail, Details
from pipeline.storage.keys import hash_tag
from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql
from pipeline.store.forget import Forgotten
from pipeline.users.directory import UserDirectory

ROUNDS = 3
"""A service that was at work on the user may write a key once more while the keys are deleted."""


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased, and where something is left: columns (``table.column``) and kinds of Redis keys."""

    users: int
    rows: dict[str, int]
    keys: int
    waits: int = 0
    """Notifications that waited, each of which has got its last status."""
    archived_rows: int = 0
    archive_files: int = 0
    left_in_postgresql: list[str]
    left_in_redis: list[str]
    left_in_archive: list[str] = []

    @property
    def complete(self) -> bool:
        return not self.left_in_postgresql and not self.left_in_redis and not self.left_in_archive


Forget = Callable[[Collection[str], Collection[str]], Forgotten]
"""Takes users (by id) out of the archive, and looks there for what names them. Blocks."""


async def erase(
    pool: Pool,
    redis: Redis,
    directory: UserDirectory,
    user_ids: Sequence[str],
    *,
    who: str,
    why: str,
    at: datetime,
    tell: Tell | None = None,
    forget: Forget | None = None,
) -> Erasure:
    """Erase users for good; doing it again is harmless. What is in Kafka for them is suppressed: nobody knows them.

    `tell` writes the last status of what waits for them, without it none is written; `forget` cleans the archive, where
    there is one.

    Raises:
        Unavailable: PostgreSQL or the archive is away, or something waits and Kafka is; do it again.
        one of `REDIS_AWAY`: Redis is away; do it again.
    """
    ids = list(dict.fromkeys(user_ids))
    with reachable():
        async with pool.acquire() as connection:
            needles = {needle for user_id in ids for needle in _names(user_id, await export_rows(connection, user_id))}
            await stop_waits(connection, ids, at)
            async with connection.transaction():
                hashes = [str(row[0]) for row in await connection.fetch(sql("hash_users"), ids)]
                waits = await end_waits(connection, ids, tell) if tell else 0
                await connection.execute(sql("note_erased"), ids, at)
                rows = await erase_rows(connection, ids)
    await directory.bury(dict.fromkeys(ids, 10**15))  # above any version: what is being read now is stale
    keys = await _delete_keys(redis, ids)
    archived = await asyncio.to_thread(forget, ids, needles) if forget else Forgotten(0, 0, [])
    with reachable():
        async with pool.acquire() as connection:
            async with connection.transaction():
                rows = _sum(rows, await erase_rows(connection, ids), await erase_rejected(connection, needles))
            async with connection.transaction(readonly=True):
                left = await search_postgres(connection, needles)
    done = Erasure(
        users=len(ids),
        rows=rows,
        keys=keys,
        waits=waits,
        archived_rows=archived.rows,
        archive_files=archived.files,
        left_in_postgresql=left,
        left_in_redis=await search_redis(redis, needles),
        left_in_archive=archived.left,
    )
    for user in hashes:
        details: Details = {"keys": keys, "rows": rows, "users_in_this_run": len(ids), "complete": done.complete}
        await AuditTrail(pool).record(
            who=who, action="users.erase", target=f"user:{user}", why=why, details=details, at=at
        )
    return done


def _sum(*counts: dict[str, int]) -> dict[str, int]:
    """A second time, since a store may have been writing while the first was under way."""
    return dict(sum((Counter(count) for count in counts), Counter[str]()))


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
