"""The inbox: what a user's in-app channel shows."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql


class InboxItem(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `notification_id` is a UUID as text, `data` a JSON object as text, `created_at` in ms."""

    notification_id: str
    user_id: str
    event_type: str
    category: str
    title: str
    body: str
    link: str | None = None
    data: str = "{}"
    created_at: int


class Inbox:
    """Adds to inboxes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, items: Sequence[InboxItem]) -> dict[str, int]:
        """Add all in one statement; an id that is there already stays as it is.

        Returns each id's place in its inbox. Places grow in the order of the commits: who has read one has seen all
        that come before it.

        Raises:
            Unavailable: PostgreSQL is away; adding again is harmless.
        """
        columns = (
            [item.notification_id for item in items],
            [item.user_id for item in items],
            [item.event_type for item in items],
            [item.category for item in items],
            [item.title for item in items],
            [item.body for item in items],
            [item.link for item in items],
            [item.data for item in items],
            [datetime.fromtimestamp(item.created_at / 1000, UTC) for item in items],
        )
        with reachable():
            rows = await self._pool.fetch(sql("add_inbox_items"), *columns)
            places = {row["notification_id"]: int(row["place"]) for row in rows}
            if missing := [item.notification_id for item in items if item.notification_id not in places]:
                rows = await self._pool.fetch(sql("places_in_inbox"), missing)
                places |= {row["notification_id"]: int(row["place"]) for row in rows}
        return places
