"""Every table that holds rows about users, found by its columns: a table that comes later is erased and exported too."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from pipeline.privacy.search import pattern
from pipeline.storage.postgres import Connection
from pipeline.storage.scripts import sql

KEPT = frozenset({"suppressions", "audit_trail"})
"""Not deleted from by their user: of a suppressed address the hash stays, and the trail is append-only."""

LAST = ("quiet_hours_changes", "user_versions")
"""Triggers write a user's id here when another table changes."""


class Table(NamedTuple):
    """A table and its column that holds the user's id."""

    name: str
    column: str


async def user_tables(connection: Connection) -> list[Table]:
    """Those of the database as it is, in the order in which they can be emptied."""
    found = [Table(*row) for row in await connection.fetch(sql("privacy_tables"))]
    return sorted(found, key=lambda table: (table.name in LAST, table.name))


async def erase_rows(connection: Connection, user_ids: Sequence[str]) -> dict[str, int]:
    """Delete all rows about these users, in the caller's transaction; how many rows of which table.

    An address that was suppressed stays so by its hash; so does the address of a user whose channel was suppressed.
    """
    await connection.execute(sql("privacy_keep_suppressed"), user_ids)
    await connection.execute(
        "DELETE FROM suppressions WHERE user_id = ANY($1::text[]) AND address_hash IS NULL", user_ids
    )
    await connection.execute("UPDATE suppressions SET user_id = NULL WHERE user_id = ANY($1::text[])", user_ids)
    erased: dict[str, int] = {}
    for table in await user_tables(connection):
        if table.name in KEPT:
            continue
        statement = f'DELETE FROM "{table.name}" WHERE "{table.column}" = ANY($1::text[])'  # noqa: S608  # our own tables
        erased[table.name] = int((await connection.execute(statement, user_ids)).rpartition(" ")[2])
    return {name: count for name, count in erased.items() if count}


async def erase_rejected(connection: Connection, needles: Collection[str]) -> dict[str, int]:
    """Delete the records that the store kept apart, and that name one of `needles` as a whole word."""
    wanted = pattern(needles)
    held = await connection.fetch(sql("rejected_naming"), [needle.encode() for needle in needles])
    mine = [r for r in held if any(wanted.search(part) for part in (r["key"], r["value"], r["error"].encode()))]
    columns = [[row[n] for row in mine] for n in ("kafka_partition", "kafka_offset", "produced_at")]
    await connection.execute(sql("delete_rejected"), *columns)
    return {"store_rejected": len(mine)} if mine else {}


async def export_rows(connection: Connection, user_id: str) -> dict[str, list[object]]:
    """All rows about a user by table, as JSON values; bytes as PostgreSQL writes them, in hexadecimal."""
    rows: dict[str, list[object]] = {}
    for table in await user_tables(connection):
        statement = f'SELECT to_jsonb(t)::text FROM "{table.name}" AS t WHERE "{table.column}" = $1'  # noqa: S608
        found = [msgspec.json.decode(row[0]) for row in await connection.fetch(statement, user_id)]
        if found:
            rows[table.name] = found
    return rows
