"""Looks for what must be gone: a user's id, addresses and tokens, in every table and every Redis key.

Whole words only, so that ``user-1`` is not found in ``user-10``. It reads everything: that is its point.
"""

import re
from collections.abc import AsyncIterator, Collection

from redis.asyncio import Redis

from pipeline.storage.postgres import Connection
from pipeline.storage.scripts import sql

TOMBSTONE = re.compile(rb"\d{16}")
"""A bare version: says only that what was cached before is stale, and goes within a minute."""


def pattern(needles: Collection[str]) -> re.Pattern[bytes]:
    """Finds any of them as a whole word, or as a string of Avro (its length before it, as a varint)."""
    options = []
    for needle in needles:
        raw = needle.encode()
        options.append(rb"(?<![\w@.-])" + re.escape(raw) + rb"(?![\w@-])")
        if len(raw) < 64:
            options.append(re.escape(bytes([2 * len(raw)]) + raw))
    return re.compile(b"|".join(options))


async def search_postgres(connection: Connection, needles: Collection[str]) -> list[str]:
    """The columns (``table.column``) in which one of `needles` stands."""
    wanted, found = pattern(needles), []
    for table, column, kind in await connection.fetch(sql("privacy_columns")):
        name = f'"{table}"."{column}"'
        hit = f"position(n IN {name}) > 0" if kind == "bytea" else f"strpos({name}::text, n) > 0"
        given: list[object] = [needle.encode() for needle in needles] if kind == "bytea" else list(needles)
        element = "bytea" if kind == "bytea" else "text"
        query = (
            f'SELECT {name}{"" if kind == "bytea" else "::text"} FROM "{table}" '  # noqa: S608  # names of the catalogue
            f"WHERE EXISTS (SELECT FROM unnest($1::{element}[]) AS n WHERE {hit})"
        )
        async for row in connection.cursor(query, given, timeout=None):
            if wanted.search(row[0] if isinstance(row[0], bytes) else row[0].encode()):
                found.append(f"{table}.{column}")
                break
    return found


async def search_redis(redis: Redis, needles: Collection[str]) -> list[str]:
    """The kinds of keys (what stands before the first colon) that name one of `needles`, or hold it."""
    wanted, found = pattern(needles), set[str]()
    async for key, value in _everything(redis):
        if wanted.search(key) or wanted.search(value):
            found.add(key.partition(b":")[0].decode(errors="replace"))
    return sorted(found)


async def _everything(redis: Redis) -> AsyncIterator[tuple[bytes, bytes]]:
    async for key in redis.scan_iter(count=1_000):
        value = await redis.dump(key) if await redis.type(key) != b"string" else await redis.get(key)
        if isinstance(value, bytes) and not TOMBSTONE.fullmatch(value):
            yield key, value
