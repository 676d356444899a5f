"""Inboxes as connected clients follow them: from a place on, for many users in one query."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from pipeline.storage.coalescer import Coalescer
from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql

MOST_TOGETHER = 100
"""Users read in one query: with `PAGE` entries each it stays small."""

PAGE = 100


class Head(NamedTuple):
    """The last place of an inbox that was given out (0: none), and how many entries are unread."""

    place: int
    unread: int


class FeedItem(NamedTuple):
    """An entry: its place, and what clients get for it, as JSON."""

    place: int
    data: str


class InboxFeed:
    """Reads for clients. All raise `Unavailable` when PostgreSQL is away, `ConfigurationError` when it has no tables."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._heads: Coalescer[str, Head] = Coalescer(self._read_heads, limit=1_000)
        self._pages: Coalescer[tuple[str, int], list[FeedItem]] = Coalescer(self._read_pages, limit=MOST_TOGETHER)

    async def head(self, user_id: str) -> Head:
        return await self._heads.call(user_id)

    async def after(self, user_id: str, place: int) -> list[FeedItem]:
        """What came after `place`, in order; `PAGE` entries: there may be more."""
        return await self._pages.call((user_id, place))

    async def last_places(self, user_ids: Sequence[str]) -> dict[str, int]:
        """The last place that was given out, of those who have one."""
        with reachable():
            rows = await self._pool.fetch(sql("inbox_last_places"), list(user_ids))
        return {row["user_id"]: row["last_place"] for row in rows}

    async def _read_heads(self, user_ids: list[str]) -> list[Head]:
        with reachable():
            rows = await self._pool.fetch(sql("inbox_heads"), user_ids)
        return [Head(row["head"], row["unread"]) for row in rows]

    async def _read_pages(self, wanted: list[tuple[str, int]]) -> list[list[FeedItem]]:
        users, places = zip(*wanted, strict=True)
        with reachable():
            rows = await self._pool.fetch(sql("inbox_after"), users, places, PAGE)
        pages: list[list[FeedItem]] = [[] for _ in wanted]
        for row in rows:
            data = inbox_data(
                place=row["place"],
                notification_id=row["notification_id"],
                event_type=row["event_type"],
                title=row["title"],
                body=row["body"],
                link=row["link"],
                data=row["data"],
                created_at=row["created_at"],
                read=row["read"],
            )
            pages[row["position"] - 1].append(FeedItem(row["place"], msgspec.json.encode(data).decode()))
        return pages


def inbox_data(
    *,
    place: int,
    notification_id: str,
    event_type: str,
    title: str,
    body: str,
    link: str | None,
    data: str,
    created_at: int,
    read: bool = False,
) -> dict[str, object]:
    """What a client gets of an entry, whether it is published or read later. `data` as JSON, `created_at` in ms."""
    return {
        "notification_id": notification_id,
        "cursor": str(place),
        "event_type": event_type,
        "title": title,
        "body": body,
        "link": link,
        "data": msgspec.Raw(data.encode()),
        "created_at": created_at,
        **({"read": True} if read else {}),
    }
