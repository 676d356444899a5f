"""The suppression list: what must not be sent to, whoever asks."""

from datetime import datetime

from pipeline.events.vocabulary import Channel
from pipeline.storage.changes import OnChange
from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql


class Suppressions:
    """Adds to the suppression list. Of an address only its hash is kept."""

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
