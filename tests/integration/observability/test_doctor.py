"""The doctor on real servers: what is well, and what it says when something is missing."""

import pytest
from pydantic import SecretStr

from pipeline.config import KafkaSettings, PostgresSettings, RedisSettings, Settings
from pipeline.kafka.names import ALL_TOPICS
from pipeline.kafka.topology import apply_topics
from pipeline.observability.checks import Finding, Level, examine, examine_postgres, examine_redis

pytestmark = pytest.mark.broker


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


async def test_all_is_well_on_a_complete_stack(
    kafka_settings: KafkaSettings, redis_url: str, postgres_settings: PostgresSettings
) -> None:
    apply_topics(kafka_settings, partitions=3, replication_factor=1)
    settings = Settings(kafka=kafka_settings, redis=RedisSettings(url=redis_url), postgres=postgres_settings)
    found = by_name(await examine(settings))
    assert [finding for finding in found.values() if finding.level is Level.FAIL] == []
    assert found["topics"].detail == f"all {len(ALL_TOPICS)} are there"
    assert found["in-app subscribers"].detail.startswith("0 on")


async def test_servers_that_are_away_are_findings_that_show_no_password() -> None:
    dsn = SecretStr("postgresql://app:hunter2@127.0.0.1:1/notifications")
    (redis,) = await examine_redis(RedisSettings(url="redis://:hunter2@127.0.0.1:1/0"))
    (postgres,) = examine_postgres(PostgresSettings(dsn=dsn))
    assert (redis.level, postgres.level) == (Level.FAIL, Level.FAIL)
    assert "PIPELINE_REDIS__URL" in redis.remedy
    assert "PIPELINE_POSTGRES__DSN" in postgres.remedy
    assert "hunter2" not in f"{redis} {postgres}"


def test_a_database_without_its_tables_asks_for_the_migrations(database_dsn: str) -> None:
    found = by_name(examine_postgres(PostgresSettings(dsn=SecretStr(database_dsn))))
    assert found["postgresql"].level is Level.OK
    assert found["migrations"].level is Level.FAIL
    assert found["migrations"].remedy == "pipeline migrate"
