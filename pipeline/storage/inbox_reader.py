"""The inbox as its owner sees it: pages, what is read, how much is not."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql


class InboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `notification_id` is a UUID as text, `data` a JSON object."""

    notification_id: str
    event_type: str
    category: str
    title: str
    body: str
    link: str | None
    data: msgspec.Raw
    created_at: datetime
    read_at: datetime | None
    archived_at: datetime | None


class InboxFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries: unread ones only, archived ones instead of the others, of a category, of an event type."""

    unread: bool = False
    archived: bool = False
    category: str | None = None
    event_type: str | None = None


class Marked(msgspec.Struct, frozen=True, kw_only=True):
    """What a change did: the ids that it changed, and how many entries are unread afterwards."""

    ids: list[str]
    unread: int


class InboxReader:
    """Reads and marks. The unread count is counted in an index and not kept, so that it cannot drift.

    All raise `Unavailable` when PostgreSQL is away.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, user_id: str, which: InboxFilter, after: tuple[datetime, str] | None, limit: int
    ) -> list[InboxEntry]:
        """At most `limit` entries, the newest first; `after`: time and id of the last one that is known."""
        created_at, notification_id = after or (None, None)
        values = (which.unread, which.archived, which.category, which.event_type, limit)
        with reachable():
            rows = await self._pool.fetch(sql("list_inbox"), user_id, created_at, notification_id, *values)
        return [InboxEntry(**{**row, "data": msgspec.Raw(row["data"].encode())}) for row in rows]

    async def unread(self, user_id: str) -> int:
        with reachable():
            count: int = await self._pool.fetchval(sql("count_unread"), user_id)
        return count

    async def mark(
        self, user_id: str, ids: Sequence[str] | None, *, until: datetime | None = None, archive: bool = False
    ) -> Marked:
        """Mark as read, and archive: those of `ids` that are the user's, or all (None) that came up to `until`."""
        with reachable():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(sql("lock_inbox"), user_id)
                given = None if ids is None else list(ids)
                rows = await connection.fetch(sql("mark_inbox"), user_id, given, until, archive)
                unread: int = await connection.fetchval(sql("count_unread"), user_id)
        return Marked(ids=[row["notification_id"] for row in rows], unread=unread)
