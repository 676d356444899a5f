import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from pipeline.config import PostgresSettings
from pipeline.embedded.postgres import Postgres
from pipeline.errors import Unavailable
from pipeline.observability.health import Health
from pipeline.storage.postgres import Pool
from pipeline.storage.repositories import Repositories
from pipeline.storage.users import UserProfile
from pipeline.users.directory import UserDirectory
from pipeline.users.invalidation import InvalidationListener

CHANGE_AND_KILL_THE_LISTENER = """
    BEGIN;
    UPDATE users SET locale = 'en-GB';
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'notifications-invalidation' AND datname = current_database();
    COMMIT
"""
"""The change is committed, and announced, microseconds after the listener is told to end: it never hears of it."""


async def eventually(holds: Callable[[], Awaitable[bool]], within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while not await holds():  # noqa: ASYNC110  # asks a server, which sets no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def listening(settings: PostgresSettings, directory: UserDirectory) -> AsyncIterator[Health]:
    health = Health("invalidation")
    task = asyncio.create_task(InvalidationListener(settings, directory, health, heartbeat=0.2).run())
    try:

        async def ready() -> bool:
            return health.ready

        await eventually(ready)
        yield health
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def anna(repositories: Repositories) -> str:
    await repositories.users.put(UserProfile(user_id="anna", locale="de-DE"))
    return "anna"


def locale_is(directory: UserDirectory, user_id: str, locale: str) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return (await directory.snapshots([user_id]))[user_id].locale == locale

    return holds


async def test_a_change_by_plain_sql_shows_in_the_next_snapshot(
    postgres_settings: PostgresSettings, directory: UserDirectory, pool: Pool, anna: str
) -> None:
    async with listening(postgres_settings, directory):
        for statement, holds in (
            ("UPDATE users SET locale = 'en-GB'", lambda s: s.locale == "en-GB"),
            ("INSERT INTO devices VALUES ('anna', 'd', 'ios', 't')", lambda s: len(s.devices) == 1),
            (
                "INSERT INTO user_consents (user_id, category, granted) VALUES ('anna', 'news', true)",
                lambda s: s.consents,
            ),
            (
                "INSERT INTO user_notification_preferences (user_id, channel, notif_type) VALUES ('anna', 'sms', 'x')",
                lambda s: s.preferences,
            ),
            (
                "INSERT INTO suppressions (channel, user_id, reason) VALUES ('push', 'anna', 'by hand')",
                lambda s: s.suppressions,
            ),
            ("DELETE FROM suppressions", lambda s: not s.suppressions),
            ("DELETE FROM devices", lambda s: not s.devices),
        ):
            before = (await directory.snapshots([anna]))[anna]
            assert not holds(before)
            await pool.execute(statement)

            async def shows(holds: Callable[..., object] = holds) -> bool:
                return bool(holds((await directory.snapshots([anna]))[anna]))

            await eventually(shows)


async def test_of_two_changes_at_once_the_one_committed_later_has_the_greater_version(pool: Pool, anna: str) -> None:
    async with pool.acquire() as first, pool.acquire() as second:
        transaction = first.transaction()
        await transaction.start()
        await first.execute("UPDATE users SET locale = 'en-GB'")
        later = asyncio.create_task(second.execute("INSERT INTO devices VALUES ('anna', 'd', 'ios', 't')"))
        await asyncio.sleep(0.1)
        await first.execute("INSERT INTO user_consents (user_id, category, granted) VALUES ('anna', 'news', true)")
        earlier = await first.fetchval("SELECT version FROM user_versions")
        await transaction.commit()
        await later
    assert await pool.fetchval("SELECT version FROM user_versions") > earlier


async def test_an_update_that_changes_only_time_stamps_invalidates_nobody(pool: Pool, anna: str) -> None:
    version = await pool.fetchval("SELECT version FROM user_versions")
    await pool.execute("UPDATE users SET updated_at = now()")
    assert await pool.fetchval("SELECT version FROM user_versions") == version


async def test_what_changed_while_the_connection_was_down_is_made_up_for(
    postgres_settings: PostgresSettings, directory: UserDirectory, pool: Pool, anna: str
) -> None:
    async with listening(postgres_settings, directory):
        await directory.snapshots([anna])
        await pool.execute(CHANGE_AND_KILL_THE_LISTENER)
        await eventually(locale_is(directory, anna, "en-GB"))
        await pool.execute("UPDATE users SET locale = 'fr-FR'")
        await eventually(locale_is(directory, anna, "fr-FR"))


async def test_what_changed_while_nobody_listened_is_made_up_for(
    postgres_settings: PostgresSettings, directory: UserDirectory, pool: Pool, anna: str
) -> None:
    await directory.snapshots([anna])
    await pool.execute("UPDATE users SET locale = 'en-GB'")
    assert not await locale_is(directory, anna, "en-GB")()
    async with listening(postgres_settings, directory):
        await eventually(locale_is(directory, anna, "en-GB"))


async def test_what_changed_while_redis_was_away_is_made_up_for(
    postgres_settings: PostgresSettings,
    directory: UserDirectory,
    pool: Pool,
    anna: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with listening(postgres_settings, directory) as health:
        await directory.snapshots([anna])
        with monkeypatch.context() as patch:
            patch.setattr(directory, "bury", _redis_is_away)
            await pool.execute("UPDATE users SET locale = 'en-GB'")
            await eventually(lambda: _not(health.ready))
        await eventually(locale_is(directory, anna, "en-GB"))


async def test_a_restart_of_postgres_is_survived(
    postgres: Postgres,
    postgres_settings: PostgresSettings,
    directory: UserDirectory,
    pool: Pool,
    anna: str,
) -> None:
    if postgres.server is None:
        pytest.skip("this PostgreSQL is not ours to restart")
    async with listening(postgres_settings, directory) as health:
        await directory.snapshots([anna])
        await asyncio.to_thread(postgres.server.stop)
        try:
            await eventually(lambda: _not(health.ready))
            assert (await directory.snapshots([anna]))[anna].locale == "de-DE"
            with pytest.raises(Unavailable):
                await directory.snapshots(["bernd"])
        finally:
            await asyncio.to_thread(postgres.server.start)
        await pool.execute("UPDATE users SET locale = 'en-GB'")
        await eventually(locale_is(directory, anna, "en-GB"), within=15)


async def _redis_is_away(_versions: object) -> None:
    raise ConnectionError("Redis is away")


async def _not(value: bool) -> bool:
    return not value
