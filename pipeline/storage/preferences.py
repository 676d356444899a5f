"""The rows of ``user_notification_preferences``."""

from collections.abc import Sequence
from datetime import time

from pipeline.storage.changes import OnChange
from pipeline.storage.postgres import Connection, Pool, reachable
from pipeline.storage.scripts import sql
from pipeline.users.snapshot import PreferenceRow


class Preferences:
    """Reads and writes preference rows. All raise `Unavailable` when PostgreSQL is away."""

    def __init__(self, pool: Pool, on_change: OnChange) -> None:
        self._pool = pool
        self._on_change = on_change

    async def get(self, user_id: str) -> list[PreferenceRow]:
        with reachable():
            rows = await self._pool.fetch(sql("get_preferences"), user_id)
        return [
            PreferenceRow(
                channel=row["channel"],
                notif_type=row["notif_type"],
                enabled=row["enabled"],
                quiet_start=seconds_of_day(row["quiet_start"]),
                quiet_end=seconds_of_day(row["quiet_end"]),
                timezone=row["timezone"],
            )
            for row in rows
        ]

    async def set(self, user_id: str, rows: Sequence[PreferenceRow], *, source: str = "") -> None:
        """Create or replace these rows, each channel × type at most once; others stay. `source`: where that was asked."""
        with reachable():
            await put_preferences(self._pool, [(user_id, row) for row in rows], source)
        await self._on_change([user_id])

    async def update(self, user_id: str, rows: Sequence[PreferenceRow], *, replace: bool, source: str = "") -> None:
        """Create or replace these rows, each channel × type at most once; with `replace` the others go.

        A row that says nothing (`enabled` None and no quiet hours) goes too.
        """
        kept = [row for row in rows if row.enabled is not None or row.quiet_start is not None]
        gone = [row for row in rows if row not in kept]
        with reachable():
            async with self._pool.acquire() as connection, connection.transaction():
                if replace:
                    await connection.execute(sql("delete_other_preferences"), user_id, *_keys(kept))
                elif gone:
                    await connection.execute(sql("delete_preferences"), user_id, *_keys(gone))
                await put_preferences(connection, [(user_id, row) for row in kept], source)
        await self._on_change([user_id])


def _keys(rows: Sequence[PreferenceRow]) -> tuple[list[str], list[str]]:
    return [row.channel for row in rows], [row.notif_type for row in rows]


async def put_preferences(
    connection: Connection | Pool, rows: Sequence[tuple[str, PreferenceRow]], source: str = ""
) -> None:
    """Create or replace rows of users by id, each user × channel × type at most once; `source`: where they come from."""
    await connection.execute(
        sql("put_preferences"),
        [user_id for user_id, _ in rows],
        [row.channel for _, row in rows],
        [row.notif_type for _, row in rows],
        [row.enabled for _, row in rows],
        [time_of_day(row.quiet_start) for _, row in rows],
        [time_of_day(row.quiet_end) for _, row in rows],
        [row.timezone for _, row in rows],
        source,
    )


def time_of_day(seconds: int | None) -> time | None:
    """Seconds since midnight as a time.

    Raises:
        ValueError: not within 0 and 86,399.
    """
    if seconds is None:
        return None
    minutes, second = divmod(seconds, 60)
    return time(*divmod(minutes, 60), second)


def seconds_of_day(moment: time | None) -> int | None:
    return None if moment is None else moment.hour * 3600 + moment.minute * 60 + moment.second
