"""``/v1/users/{user_id}/inbox``: what a person was told in-app, and what of it they have seen."""

import base64
import binascii
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from pipeline.events.canonical import Problem
from pipeline.gateway.access import CHANGE_PERSON, READ_PERSON
from pipeline.gateway.problems import bad_request
from pipeline.gateway.routes import Name, Route, Routes
from pipeline.storage.inbox_reader import InboxEntry, InboxFilter, InboxReader

PAGE = 50
MOST_ON_A_PAGE = 200
MOST_IDS = 1_000


class OnRead(Protocol):
    """Told when a person has read or archived entries, so that their other clients can be told too."""

    async def __call__(self, user_id: str, notification_ids: Sequence[str], unread: int) -> None: ...


class InboxQuery(msgspec.Struct, frozen=True, kw_only=True):
    """`cursor`: the `next_cursor` of the page before. `archived`: archived entries instead of the others."""

    cursor: Annotated[str, Meta(max_length=200)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_ON_A_PAGE)] = PAGE
    unread: bool = False
    archived: bool = False
    category: Name | None = None
    type: Name | None = None


class InboxPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, the newest first; `next_cursor` null: there are no more."""

    items: list[InboxEntry]
    next_cursor: str | None
    unread: int


class ReadBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either `ids` or `all`. `until`: of all only those that came up to then. `archive`: out of sight as well."""

    ids: Annotated[list[uuid.UUID], Meta(min_length=1, max_length=MOST_IDS)] | None = None
    all: bool = False
    until: Annotated[datetime, Meta(tz=True)] | None = None
    archive: bool = False


class ReadResult(msgspec.Struct, frozen=True, kw_only=True):
    """How many entries were changed, and how many are unread now."""

    updated: int
    unread: int


class UnreadCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many entries are neither read nor archived."""

    unread: int


class InboxRoutes:
    """Handlers over the inbox."""

    def __init__(self, inbox: InboxReader, on_read: OnRead) -> None:
        self._inbox = inbox
        self._on_read = on_read

    def table(self) -> Routes:
        path, tag = "/v1/users/{user_id}/inbox", "inbox"
        return [
            Route(
                method="GET",
                path=path,
                handler=self.get_inbox,
                access=READ_PERSON,
                summary="A page of the inbox, the newest first",
                tag=tag,
            ),
            Route(
                method="GET",
                path=path + "/unread",
                handler=self.count_unread,
                access=READ_PERSON,
                summary="How much is unread",
                tag=tag,
            ),
            Route(
                method="POST",
                path=path + "/read",
                handler=self.mark_read,
                access=CHANGE_PERSON,
                summary="Mark as read, or archive",
                tag=tag,
            ),
        ]

    async def get_inbox(self, user_id: Name, query: InboxQuery) -> InboxPage:
        after = None if query.cursor is None else read_cursor(query.cursor)
        which = InboxFilter(
            unread=query.unread, archived=query.archived, category=query.category, event_type=query.type
        )
        found = await self._inbox.page(user_id, which, after, query.limit + 1)
        items = found[: query.limit]
        more = len(found) > query.limit
        next_cursor = make_cursor(items[-1]) if more else None
        return InboxPage(items=items, next_cursor=next_cursor, unread=await self._inbox.unread(user_id))

    async def count_unread(self, user_id: Name) -> UnreadCount:
        return UnreadCount(unread=await self._inbox.unread(user_id))

    async def mark_read(self, user_id: Name, body: ReadBody) -> ReadResult:
        if (body.ids is not None) == body.all:
            raise bad_request([Problem("/ids", "give either ids or all")])
        ids = None if body.ids is None else [str(id_) for id_ in body.ids]
        marked = await self._inbox.mark(user_id, ids, until=body.until, archive=body.archive)
        if marked.ids:
            await self._on_read(user_id, marked.ids, marked.unread)
        return ReadResult(updated=len(marked.ids), unread=marked.unread)


def make_cursor(entry: InboxEntry) -> str:
    text = f"{entry.created_at.isoformat()} {entry.notification_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """Time and id of the last entry of a page.

    Raises:
        Refused: 400, it is none of ours.
    """
    try:
        text = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        at, _, notification_id = text.decode("ascii").partition(" ")
        created_at = datetime.fromisoformat(at)
        if created_at.tzinfo is None:
            raise ValueError("a cursor's time has an offset")
        return created_at, str(uuid.UUID(notification_id))
    except (ValueError, binascii.Error):
        raise bad_request([Problem("/cursor", "is none that was given out here")]) from None
