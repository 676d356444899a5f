import asyncpg
import pytest
from pydantic import SecretStr

from pipeline.config import PostgresSettings
from pipeline.errors import ConfigurationError, Unavailable
from pipeline.storage.postgres import open_pool, reachable
from pipeline.storage.scripts import sql


async def test_a_pool_opens_while_the_server_is_away_and_its_queries_say_so() -> None:
    async with await open_pool(PostgresSettings(dsn=SecretStr("postgresql://postgres@127.0.0.1:1/x"))) as pool:
        with pytest.raises(Unavailable), reachable():
            await pool.fetchval("SELECT 1")


async def test_a_database_that_does_not_exist_is_a_wrong_setting(postgres_dsn: str) -> None:
    settings = PostgresSettings(dsn=SecretStr(postgres_dsn.rsplit("/", 1)[0] + "/nowhere"))
    async with await open_pool(settings) as pool:
        with pytest.raises(ConfigurationError, match="PIPELINE_POSTGRES__DSN"), reachable():
            await pool.fetchval("SELECT 1")


async def test_a_database_without_tables_asks_to_be_migrated(database_dsn: str) -> None:
    async with await open_pool(PostgresSettings(dsn=SecretStr(database_dsn))) as pool:
        with pytest.raises(ConfigurationError, match="pipeline migrate"), reachable():
            await pool.fetch(sql("snapshot_by_ids"), ["anna"])


@pytest.mark.parametrize(
    "said",
    [
        asyncpg.InternalClientError("got result for unknown protocol state 3"),
        asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
        asyncpg.InterfaceError("cannot call Transaction.__aexit__(): the underlying connection is closed"),
    ],
)
def test_a_server_that_stops_in_the_middle_of_an_answer_is_away_and_no_fault_of_ours(said: Exception) -> None:
    with pytest.raises(Unavailable), reachable():
        raise said


def test_a_driver_that_is_used_wrongly_is_told() -> None:
    with pytest.raises(asyncpg.InterfaceError), reachable():
        raise asyncpg.InterfaceError("the server expects 2 arguments for this query, 1 was passed")
