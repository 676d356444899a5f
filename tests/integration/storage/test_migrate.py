import asyncio

import asyncpg
import pytest

from pipeline.errors import ConfigurationError, Unavailable
from pipeline.storage.migrate import migrate

SEED_PREFERENCES = """
    INSERT INTO user_notification_preferences (user_id, channel, notif_type)
    SELECT 'test-user', channel, 'alert' FROM unnest(ARRAY['push', 'email', 'sms', 'in_app']) AS channel
"""


def test_migrating_again_applies_nothing(database_dsn: str) -> None:
    assert migrate(database_dsn)
    assert migrate(database_dsn) == []


async def test_services_that_start_together_apply_each_migration_once(database_dsn: str) -> None:
    applied = await asyncio.gather(*(asyncio.to_thread(migrate, database_dsn) for _ in range(4)))
    assert sorted(map(bool, applied)) == [False, False, False, True]


async def test_preferences_may_be_written_before_the_profile(database_dsn: str) -> None:
    await asyncio.to_thread(migrate, database_dsn)
    connection = await asyncpg.connect(database_dsn)
    try:
        await connection.execute(SEED_PREFERENCES)
        rows = await connection.fetch("SELECT * FROM user_notification_preferences WHERE user_id = 'test-user'")
        assert {(row["channel"], row["enabled"], row["timezone"]) for row in rows} == {
            (channel, True, "UTC") for channel in ("push", "email", "sms", "in_app")
        }
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(SEED_PREFERENCES.replace("'push'", "'fax'"))
    finally:
        await connection.close()


def test_a_server_that_is_away_says_so() -> None:
    with pytest.raises(Unavailable, match="PostgreSQL cannot be reached"):
        migrate("postgresql://postgres@127.0.0.1:1/postgres")


def test_a_dsn_that_is_no_url_names_the_setting() -> None:
    with pytest.raises(ConfigurationError, match="PIPELINE_POSTGRES__DSN"):
        migrate("host=localhost")
