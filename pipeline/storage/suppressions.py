"""The suppression list: what must not be sent to, whoever asks."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import asyncpg
import msgspec

from pipeline.events.vocabulary import Channel
from pipeline.storage.changes import OnChange
from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql
from pipeline.users.snapshot import EVERY

ADDRESSED = (Channel.EMAIL, Channel.SMS)
"""Channels whose addresses can be suppressed, whoever has them; on the others it is a user's channel."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: an address (`address`, or of one that is on the list `address_hash`, hex), or all of a user's channel.

    What is read from the list has no `address`. `expires_at` None: for good. `user_id` beside an address says whose it
    was; it is suppressed for whoever has it.
    """

    channel: Channel
    stream: str = EVERY
    address: str | None = None
    address_hash: str | None = None
    user_id: str | None = None
    reason: str
    created_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def is_of_address(self) -> bool:
        return self.address is not None or self.address_hash is not None


class Put(msgspec.Struct, frozen=True):
    """How many entries were added, and how many were on the list already."""

    added: int
    renewed: int


class Suppressions:
    """Reads and changes the suppression list. Of an address only its salted hash is kept.

    All raise `Unavailable` when PostgreSQL is away.
    """

    def __init__(self, pool: Pool, on_change: OnChange) -> None:
        self._pool = pool
        self._on_change = on_change

    async def add(
        self,
        channel: Channel,
        user_id: str | None,
        address: str | None,
        stream: str,
        reason: str,
        expires_at: datetime | None = None,
    ) -> None:
        """Suppress `address` (e-mail or SMS) for whoever has it, or without one the whole channel for `user_id`.

        `stream` is a mail stream or `EVERY`. Suppressing again updates the
        reason and never shortens it. `expires_at` None: for good.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        query, *subject = (
            (sql("suppress_user"), user_id) if address is None else (sql("suppress_address"), address, user_id)
        )
        with reachable():
            rows = await self._pool.fetch(query, channel, stream, *subject, reason, expires_at)
        await self._on_change([row["user_id"] for row in rows])

    async def put(self, entries: Sequence[Entry]) -> Put:
        """`add` for many, in one transaction; the same one twice counts once."""
        of_address = [entry for entry in entries if entry.is_of_address]
        of_user = [entry for entry in entries if not entry.is_of_address]
        with reachable():
            async with self._pool.acquire() as connection, connection.transaction():
                rows = [
                    *await connection.fetch(sql("suppress_addresses"), *_columns(of_address, _OF_ADDRESS)),
                    *await connection.fetch(sql("suppress_users"), *_columns(of_user, _OF_USER)),
                ]
        await self._on_change(_users(rows))
        added = sum(row["is_new"] for row in rows)
        return Put(added, len(rows) - added)

    async def remove(self, entry: Entry, *, every_stream: bool, reason: str | None = None) -> int:
        """Take what `entry` names off the list, on its stream or on every one; how many entries that were.

        `reason`: only what is there for that reason; None: for whatever reason.
        """
        stream = None if every_stream else entry.stream
        subject = (entry.address, entry.address_hash, None if entry.is_of_address else entry.user_id)
        with reachable():
            rows = await self._pool.fetch(sql("remove_suppressions"), entry.channel, stream, *subject, reason)
        await self._on_change(_users(rows))
        return len(rows)

    async def entries(
        self,
        *,
        channel: Channel | None = None,
        stream: str | None = None,
        reason: str | None = None,
        address: str | None = None,
        user_id: str | None = None,
    ) -> AsyncIterator[Entry]:
        """What counts now, the oldest first, streamed."""
        with reachable():
            async with self._pool.acquire() as connection, connection.transaction(readonly=True):
                query = connection.cursor(
                    sql("list_suppressions"), channel, stream, reason, address, user_id, prefetch=1_000, timeout=None
                )
                async for row in query:
                    yield msgspec.convert(dict(row), Entry)


_OF_ADDRESS = ("channel", "stream", "address", "address_hash", "user_id", "reason", "expires_at")
_OF_USER = ("channel", "stream", "user_id", "reason", "expires_at")


def _columns(entries: Sequence[Entry], names: Sequence[str]) -> list[list[object]]:
    return [[getattr(entry, name) for entry in entries] for name in names]


def _users(rows: Sequence[asyncpg.Record]) -> list[str]:
    return [user_id for row in rows for user_id in row["user_ids"]]
