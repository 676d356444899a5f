"""The embedded servers start, answer, come back with their address, and are gone afterwards."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from redis import Redis

from pipeline.config import KafkaSettings, Settings
from pipeline.embedded.broker import ADDRESS, FORCED
from pipeline.embedded.processes import Command, Supervisor
from pipeline.embedded.servers import Restartable, Server, listens
from pipeline.embedded.stack import Stack
from pipeline.errors import ConfigurationError, Unavailable
from pipeline.kafka.client import base_config, consumer_config, producer_config
from tests.conftest import MakeTopic, Unique

SERVICE_VARIABLES = (ADDRESS, "PIPELINE_POSTGRES__DSN", "PIPELINE_REDIS__URL")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack of its own: these tests take its servers away."""
    forced = {FORCED: os.environ[FORCED]} if FORCED in os.environ else {}
    with Stack.open(forced) as stack:
        yield stack


def server(part: Restartable | None) -> Restartable:
    assert part is not None
    return part


def test_the_environment_points_a_service_at_the_stack(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(stack.environment()) == set(SERVICE_VARIABLES)
    for name, value in stack.environment().items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.kafka.bootstrap_servers == stack.broker.bootstrap
    assert settings.postgres.dsn.get_secret_value() == stack.postgres.dsn
    assert settings.redis.url == stack.valkey.url


@pytest.mark.real_broker
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_broker_comes_back_with_its_address_and_its_records(stack: Stack, unique: Unique, end: str) -> None:
    kafka = KafkaSettings(bootstrap_servers=stack.broker.bootstrap)
    topic = unique("kept")
    producer = Producer(producer_config(kafka))
    admin = AdminClient(base_config(kafka))
    admin.create_topics([NewTopic(topic, 1, 1)], operation_timeout=10)[topic].result()
    producer.produce(topic, b"kept")
    assert producer.flush(10) == 0
    getattr(server(stack.broker.server), end)()
    server(stack.broker.server).start()
    assert stored(kafka, topic) == [b"kept"]


def stored(kafka: KafkaSettings, topic: str) -> list[bytes | None]:
    consumer = Consumer(consumer_config(kafka, "reader"))
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        return [message.value() for message in consumer.consume(1, timeout=20)]
    finally:
        consumer.close()


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_valkey_comes_back_with_its_address_and_empty(stack: Stack, end: str) -> None:
    with Redis.from_url(stack.valkey.url) as client:
        client.set("key", "value")
    getattr(server(stack.valkey.server), end)()
    server(stack.valkey.server).start()
    with Redis.from_url(stack.valkey.url) as client:
        assert client.dbsize() == 0


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_postgres_comes_back_with_its_address_and_its_rows(stack: Stack, end: str) -> None:
    with psycopg.connect(stack.postgres.dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 7 AS n")
    getattr(server(stack.postgres.server), end)()
    server(stack.postgres.server).start()
    with psycopg.connect(stack.postgres.dsn) as connection:
        assert connection.execute("SELECT n FROM kept").fetchall() == [(7,)]


def test_nothing_listens_and_nothing_lies_about_after_the_end() -> None:
    with Stack.open({FORCED: "wheel"}) as stack:
        ports = [int(stack.broker.bootstrap.rpartition(":")[2])]
        ports += [urlsplit(url).port or 0 for url in (stack.postgres.dsn, stack.valkey.url)]
        assert all(listens(port) for port in ports)
    assert not any(listens(port) for port in ports)
    assert not stack.supervisor.directory.exists()


def test_a_server_that_cannot_be_had_leaves_nothing_of_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ConfigurationError, match=FORCED):
        Stack.open({FORCED: "none"})
    assert list(tmp_path.iterdir()) == []


def test_named_servers_are_taken_as_they_are_and_never_stopped() -> None:
    with Stack.open(dict.fromkeys(SERVICE_VARIABLES, "elsewhere")) as stack:
        assert set(stack.environment().values()) == {"elsewhere"}
        assert (stack.broker.server, stack.postgres.server, stack.valkey.server) == (None, None, None)


def test_a_server_that_dies_at_start_shows_its_last_lines() -> None:
    with Supervisor() as supervisor:
        child = supervisor.child(Command(name="broken", argv=("sh", "-c", "echo port taken; exit 1")))
        with pytest.raises(Unavailable, match="port taken"):
            Server(child, lambda: False).start()


def test_a_made_topic_has_its_partitions(make_topic: MakeTopic, kafka_settings: KafkaSettings) -> None:
    topic = make_topic("three", partitions=3)
    assert len(AdminClient(base_config(kafka_settings)).list_topics(topic, timeout=10).topics[topic].partitions) == 3


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_has_an_empty_database_and_an_empty_redis(database_dsn: str, redis_url: str, turn: int) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute("CREATE TABLE mine (n int)")
    with Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("mine", turn)
