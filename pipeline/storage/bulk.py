"""Many users at once: imports, the demo, benchmarks. Ten thousand take about a second."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.events.vocabulary import Channel
from pipeline.storage.changes import OnChange
from pipeline.storage.devices import put_devices
from pipeline.storage.postgres import Connection, Pool, reachable
from pipeline.storage.preferences import put_preferences
from pipeline.storage.scripts import sql
from pipeline.storage.users import put_profiles
from pipeline.users.snapshot import UserSnapshot

BATCH = 5_000
SOURCE = "import"


async def bulk_load(pool: Pool, users: Sequence[UserSnapshot], on_change: OnChange) -> None:
    """Create or update users with everything their snapshots hold (`version` aside); loading twice changes nothing.

    What a user has beyond that (other devices, preferences, consents) stays. Each five thousand are one transaction.
    Arrays and ``unnest`` rather than COPY, because COPY cannot update.

    Raises:
        Unavailable: PostgreSQL is away; loading again is harmless.
    """
    for start in range(0, len(users), BATCH):
        batch = users[start : start + BATCH]
        with reachable():
            async with pool.acquire() as connection, connection.transaction():
                losers = await _load(connection, batch)
        await on_change([*(user.user_id for user in batch), *losers])


async def _load(connection: Connection, users: Sequence[UserSnapshot]) -> list[str]:
    await put_profiles(connection, users)
    await put_preferences(connection, [(user.user_id, row) for user in users for row in user.preferences], SOURCE)
    await _put_consents(connection, [(user.user_id, category) for user in users for category in user.consents])
    await _put_suppressions(connection, users)
    return await put_devices(connection, [(user.user_id, device) for user in users for device in user.devices])


async def _put_consents(connection: Connection, consents: Sequence[tuple[str, str]]) -> None:
    user_ids = [user_id for user_id, _ in consents]
    await connection.execute(sql("load_consents"), user_ids, [category for _, category in consents])


async def _put_suppressions(connection: Connection, users: Sequence[UserSnapshot]) -> None:
    rows = [(user, suppression) for user in users for suppression in user.suppressions]
    await connection.execute(
        sql("load_suppressions"),
        [user.user_id for user, _ in rows],
        [suppression.channel for _, suppression in rows],
        [_address(user, suppression.channel) for user, suppression in rows],
        [suppression.stream for _, suppression in rows],
        [suppression.reason for _, suppression in rows],
        [_instant(suppression.expires_at) for _, suppression in rows],
    )


def _address(user: UserSnapshot, channel: Channel) -> str | None:
    return {Channel.EMAIL: user.email, Channel.SMS: user.phone}.get(channel)


def _instant(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
