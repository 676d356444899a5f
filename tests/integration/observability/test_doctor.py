"""The doctor on real servers: what is well, and for each fault that is set up its name and its remedy."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from aiohttp import web
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)
from pydantic import SecretStr
from redis import Redis
from typer.testing import CliRunner

from pipeline.cli.root import app
from pipeline.config import KafkaSettings, PostgresSettings, RedisSettings, Settings
from pipeline.embedded.processes import Supervisor
from pipeline.embedded.valkey import ValkeyCluster, open_valkey_cluster
from pipeline.events.registry import Registry
from pipeline.events.releases import read_lock, read_release
from pipeline.kafka.client import base_config
from pipeline.kafka.names import ALL_TOPICS, INGEST
from pipeline.kafka.topology import apply_topics, missing_topics, plan_topics
from pipeline.kafka.topology_plan import Action
from pipeline.observability import kafka_checks, postgres_checks, redis_checks
from pipeline.observability.checks import Finding, Level, examine, examine_kafka, examine_postgres, examine_redis
from pipeline.observability.registry_checks import LEVEL, examine_registry
from pipeline.resources import resource_dir
from pipeline.testing.registry import SchemaRegistry

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    """Each by its name, which no two share; whatever is not well says what to do."""
    named = {finding.name: finding for finding in findings}
    assert len(named) == len(findings)
    assert all(finding.remedy for finding in findings if finding.level is not Level.OK)
    return named


def fault(findings: list[Finding], name: str, level: Level, detail: str, remedy: str) -> None:
    """The finding of that name is that bad, and says this."""
    finding = by_name(findings)[name]
    assert finding.level is level, finding
    assert detail in finding.detail
    assert remedy in finding.remedy


async def test_all_is_well_on_a_complete_stack(
    empty_topics: KafkaSettings, redis_url: str, postgres_settings: PostgresSettings
) -> None:
    settings = Settings(kafka=empty_topics, redis=RedisSettings(url=redis_url), postgres=postgres_settings)
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


def test_settings_that_cannot_be_read_are_a_finding_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DELIVERY__LEASE", "5")
    answer = CliRunner().invoke(app, ["doctor", "--json"])
    report = json.loads(answer.stdout)
    (finding,) = report["findings"]
    assert (answer.exit_code, report["ok"], finding["name"], finding["level"]) == (1, False, "configuration", "fail")
    assert "delivery.lease (5 s) must be longer than delivery.provider_timeout (10 s)" in finding["detail"]
    assert finding["remedy"]


async def test_a_catalogue_that_cannot_be_read_says_how_to_look_at_it(tmp_path: Path) -> None:
    nowhere = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    away = {"redis": RedisSettings(url="redis://127.0.0.1:1/0"), "postgres": {"dsn": "postgresql://127.0.0.1:1/x"}}
    settings = Settings.model_validate({"kafka": nowhere, "catalogue": {"path": tmp_path / "none.yaml"}, **away})
    found = await examine(settings)
    fault(found, "catalogue", Level.FAIL, "none.yaml", "pipeline catalogue check")
    fault(found, "kafka", Level.FAIL, "cannot reach Kafka at 127.0.0.1:1", "start Kafka")


class TestKafka:
    def test_a_property_that_librdkafka_does_not_know(self, kafka_settings: KafkaSettings) -> None:
        wrong = kafka_settings.model_copy(update={"client": {"sasl.passwort": "hunter2"}})
        found = examine_kafka(wrong)
        fault(found, "kafka", Level.FAIL, "sasl.passwort", "PIPELINE_KAFKA__CLIENT")
        assert "hunter2" not in str(found)

    @pytest.mark.real_broker
    def test_topics_that_were_changed_by_hand(self, empty_topics: KafkaSettings) -> None:
        entry = ConfigEntry("retention.ms", "60000", incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, INGEST, incremental_configs=[entry])
        gone, admin = "notifications.sms.low", AdminClient(base_config(empty_topics))
        admin.incremental_alter_configs([resource])[resource].result()
        until(lambda: any(change.action is Action.SET for change in plan_topics(empty_topics)))
        found = examine_kafka(empty_topics)
        fault(found, "topic settings", Level.WARN, INGEST, "pipeline topics plan")
        fault(found, "topic replicas", Level.WARN, f"{len(ALL_TOPICS)} with another", "kafka-reassign-partitions")
        fault(found, "consumers", Level.WARN, "nobody reads for", "start their services")
        admin.delete_topics([gone], operation_timeout=30)[gone].result()
        until(lambda: bool(missing_topics(empty_topics)))
        fault(examine_kafka(empty_topics), "topics", Level.FAIL, gone, "pipeline topics apply")
        apply_topics(empty_topics, partitions=3, replication_factor=1)

    @pytest.mark.real_broker
    def test_a_clock_that_is_wrong(self, empty_topics: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kafka_checks, "now", lambda: time.time() + 100)
        fault(examine_kafka(empty_topics), "clock kafka", Level.FAIL, "behind ours", "NTP")


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class TestRedis:
    @pytest.fixture
    def server(self, redis_url: str) -> Iterator[Redis]:
        """As it was afterwards."""
        names = ("maxmemory-policy", "maxmemory")
        with Redis.from_url(redis_url, decode_responses=True) as client:
            before = client.config_get(*names)
            yield client
            client.config_set("maxmemory", before["maxmemory"])
            client.config_set("maxmemory-policy", before["maxmemory-policy"])

    async def test_a_policy_that_throws_away_what_was_claimed(self, server: Redis, redis_url: str) -> None:
        server.config_set("maxmemory-policy", "allkeys-lru")
        found = await examine_redis(RedisSettings(url=redis_url))
        fault(found, "redis memory", Level.FAIL, "allkeys-lru", "noeviction")

    async def test_memory_that_is_nearly_full(self, server: Redis, redis_url: str) -> None:
        server.config_set("maxmemory", str(int(server.info("memory")["used_memory"]) * 11 // 10))
        found = await examine_redis(RedisSettings(url=redis_url))
        fault(found, "redis memory", Level.WARN, "in use", "plan-capacity")

    async def test_a_server_that_a_restart_empties(self, redis_url: str) -> None:
        found = await examine_redis(RedisSettings(url=redis_url))
        fault(found, "redis persistence", Level.WARN, "none", "appendonly yes")

    async def test_nobody_who_shows_in_app_notifications(self, redis_url: str) -> None:
        found = await examine_redis(RedisSettings(url=redis_url))
        fault(found, "in-app subscribers", Level.WARN, "0 on", "pipeline realtime")

    async def test_one_server_taken_for_a_cluster(self, redis_url: str) -> None:
        found = await examine_redis(RedisSettings(url=redis_url.removesuffix("/0"), cluster=True))
        fault(found, "redis", Level.FAIL, "Cluster mode is not enabled", "PIPELINE_REDIS__CLUSTER=false")

    async def test_a_clock_that_is_wrong(self, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(redis_checks, "now", lambda: time.time() - 100)
        fault(await examine_redis(RedisSettings(url=redis_url)), "clock redis", Level.FAIL, "ahead of ours", "NTP")

    @pytest.mark.parametrize(
        ("info", "name", "level"),
        [
            ({"role": "slave"}, "redis role", Level.FAIL),
            ({"aof_last_write_status": "err"}, "redis disk", Level.FAIL),
            ({"rdb_last_bgsave_status": "err"}, "redis disk", Level.FAIL),
        ],
    )
    def test_what_a_server_says_of_itself(self, info: dict[str, object], name: str, level: Level) -> None:
        well: dict[str, object] = {"maxmemory_policy": "noeviction", "role": "master", "maxmemory": 0}
        found = list(redis_checks.server_findings(well | info, clustered=False))
        fault(found, name, level, "", "")
        assert len(list(redis_checks.server_findings(well, clustered=False))) == 1

    async def test_a_cluster_that_is_taken_for_one_server_or_does_not_serve_every_slot(
        self, cluster: ValkeyCluster
    ) -> None:
        settings = RedisSettings(url=cluster.url, cluster=True)
        assert by_name(await examine_redis(settings))["redis cluster"].level is Level.OK
        alone = await examine_redis(RedisSettings(url=cluster.url))
        fault(alone, "redis cluster", Level.FAIL, "node of a cluster", "PIPELINE_REDIS__CLUSTER=true")
        broken = redis_checks.cluster_finding({"cluster_state": "fail", "cluster_slots_ok": "16000"})
        fault([broken], "redis cluster", Level.FAIL, "16000 of 16384", "redis-cli --cluster")

    @pytest.fixture
    def cluster(self, supervisor: Supervisor) -> Iterator[ValkeyCluster]:
        cluster = open_valkey_cluster(supervisor, nodes=1)
        yield cluster
        for node in cluster.nodes:
            node.stop()


class TestPostgres:
    def test_a_database_without_its_tables(self, database_dsn: str) -> None:
        found = examine_postgres(PostgresSettings(dsn=SecretStr(database_dsn)))
        assert by_name(found)["postgresql"].level is Level.OK
        fault(found, "migrations", Level.FAIL, "0001_users", "pipeline migrate")

    def test_a_database_that_a_newer_version_has_migrated(self, postgres_settings: PostgresSettings) -> None:
        with psycopg.connect(postgres_settings.dsn.get_secret_value(), autocommit=True) as connection:
            connection.execute("INSERT INTO _yoyo_migration (migration_hash, migration_id) VALUES ('x', '9999_later')")
        fault(examine_postgres(postgres_settings), "migrations", Level.WARN, "9999_later", "upgrade")

    def test_a_database_that_cannot_be_written(self, postgres_settings: PostgresSettings) -> None:
        dsn = postgres_settings.dsn.get_secret_value()
        with psycopg.connect(dsn, autocommit=True) as connection:
            name = connection.info.dbname
            connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        found = examine_postgres(postgres_settings)
        fault(found, "postgresql role", Level.FAIL, "nothing can be written", "primary")

    def test_a_pool_that_the_server_has_no_room_for(self, postgres_settings: PostgresSettings) -> None:
        found = examine_postgres(postgres_settings.model_copy(update={"pool_size": 100_000}))
        fault(found, "postgresql connections", Level.WARN, "up to 100000", "max_connections")

    def test_a_version_that_nobody_maintains_any_more(self) -> None:
        state = postgres_checks.State(version=110_022, standby=True, read_only=False, room=100, used=1)
        found = list(postgres_checks.state_findings(state, 8))
        fault(found, "postgresql version", Level.FAIL, "11.22", "upgrade")
        fault(found, "postgresql role", Level.FAIL, "standby", "primary")

    def test_a_clock_that_is_wrong(self, postgres_settings: PostgresSettings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(postgres_checks, "now", lambda: time.time() + 5)
        fault(examine_postgres(postgres_settings), "clock postgresql", Level.WARN, "behind ours", "NTP")


@asynccontextmanager
async def serving(registry: SchemaRegistry) -> AsyncIterator[KafkaSettings]:
    runner = web.AppRunner(registry.app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        yield KafkaSettings(schema_registry_url=f"http://app:hunter2@127.0.0.1:{port}")
    finally:
        await runner.cleanup()


class TestRegistry:
    async def test_none_is_well_and_one_that_has_everything_too(self) -> None:
        assert {finding.level for finding in await examine_registry(KafkaSettings())} == {Level.OK}
        async with serving(SchemaRegistry.from_lock()) as kafka:
            assert {finding.level for finding in await examine_registry(kafka)} == {Level.OK}

    async def test_one_that_nobody_has_filled(self) -> None:
        async with serving(SchemaRegistry()) as kafka:
            found = await examine_registry(kafka)
        fault(found, "registry schemas", Level.FAIL, f"{INGEST}-value", "pipeline schemas register")
        fault(found, "registry compatibility", Level.WARN, "BACKWARD", LEVEL)

    async def test_one_whose_schemas_ours_would_break(self) -> None:
        registry, subject = SchemaRegistry(), f"{INGEST}-value"
        async with serving(registry) as kafka:
            client = Registry(str(kafka.schema_registry_url))
            await client.require(subject, LEVEL)
            await client.register(subject, {"type": "record", "name": "NotificationRequested", "fields": [
                {"name": "event_id", "type": "long"}]})  # fmt: skip
            found = await examine_registry(kafka)
        fault(found, "registry schemas", Level.FAIL, subject, "docs/upgrades.md")

    async def test_one_that_is_away(self) -> None:
        found = await examine_registry(KafkaSettings(schema_registry_url="http://app:hunter2@127.0.0.1:1"))
        fault(found, "registry", Level.FAIL, "cannot reach the schema registry", "PIPELINE_KAFKA__SCHEMA_REGISTRY_URL")
        assert "hunter2" not in str(found)

    async def test_a_schema_file_that_was_changed_and_not_released(self, tmp_path: Path) -> None:
        folder, record = resource_dir("avro"), "Deferred"
        lock = read_lock(folder)
        for path in folder.rglob("*"):
            if path.is_file():
                target = tmp_path / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
        changed = dict(read_release(folder, record, lock.schemas[record][-1]))
        changed["doc"] = "something else"
        (tmp_path / f"{record}.avsc").write_text(json.dumps(changed))
        found = await examine_registry(KafkaSettings(), tmp_path)
        fault(found, "schemas", Level.FAIL, f"{record}.avsc", "pipeline schemas check")
