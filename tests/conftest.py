"""Real servers for tests, each started when the first test asks for it and gone when the run ends."""

import os
import uuid
from collections.abc import Iterator, Mapping
from typing import Protocol

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from redis import Redis

from pipeline.config import KafkaSettings
from pipeline.embedded.broker import Broker, choose, open_broker
from pipeline.embedded.postgres import Postgres, open_postgres
from pipeline.embedded.processes import Supervisor
from pipeline.embedded.valkey import Valkey, open_valkey
from pipeline.errors import ConfigurationError
from pipeline.kafka.client import base_config
from tests.databases import new_database

LONG = {"chaos", "line"}
"""Folders whose tests take most of the time."""

IN_CI = os.environ.get("CI", "").lower() in ("1", "true")


def pytest_report_header() -> str:
    try:
        return f"kafka: {choose(os.environ).note}"
    except ConfigurationError as error:
        return f"kafka: {error}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: two processes that share the tests then end at about the same time.

    In CI what needs servers is run once more when it fails, and the summary names it: see CONTRIBUTING.
    """
    items.sort(key=lambda item: not LONG.intersection(item.path.parts))
    for item in items if IN_CI else ():
        if "unit" not in item.path.parts:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def supervisor() -> Iterator[Supervisor]:
    """Ends every server of this run."""
    with Supervisor() as supervisor:
        yield supervisor


@pytest.fixture(scope="session")
def broker(supervisor: Supervisor) -> Broker:
    """A Kafka broker; in CI a real one, or the tests fail."""
    broker = open_broker(supervisor, os.environ)
    if IN_CI and not broker.kind.real:
        pytest.fail(f"CI needs Apache Kafka, and here is only: {broker.note}")
    return broker


@pytest.fixture(autouse=True)
def _skip_what_the_wheel_broker_cannot(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("real_broker") is None:
        return
    broker: Broker = request.getfixturevalue("broker")
    if not broker.kind.real:
        pytest.skip(f"needs Apache Kafka; here is {broker.note}")


@pytest.fixture(scope="session")
def kafka_settings(broker: Broker) -> KafkaSettings:
    return KafkaSettings(bootstrap_servers=broker.bootstrap)


@pytest.fixture(scope="session")
def postgres(supervisor: Supervisor) -> Postgres:
    """The server; its `server` can be stopped and started, after which its data is still there."""
    return open_postgres(supervisor, os.environ)


@pytest.fixture(scope="session")
def postgres_dsn(postgres: Postgres) -> str:
    """The server's own database. A test that writes takes `database_dsn`."""
    return postgres.dsn


@pytest.fixture
def database_dsn(postgres_dsn: str) -> Iterator[str]:
    """A new, empty database, dropped afterwards whoever is still connected."""
    with new_database(postgres_dsn) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def valkey(supervisor: Supervisor) -> Valkey:
    """The server; its `server` can be stopped, killed and started, after which it is empty."""
    valkey = open_valkey(supervisor, os.environ)
    with Redis.from_url(valkey.url) as client:
        if client.dbsize():
            pytest.fail(f"the tests empty the database at {valkey.url.rpartition('@')[2]}, and it holds keys")
    return valkey


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """An empty Redis database."""
    with Redis.from_url(valkey.url) as client:
        client.flushdb()
    return valkey.url


class Unique(Protocol):
    def __call__(self, prefix: str) -> str: ...


@pytest.fixture
def unique() -> Unique:
    """``unique("orders")`` is a topic or group name that nobody used before."""
    return lambda prefix: f"{prefix}.{uuid.uuid4().hex[:12]}"


class MakeTopic(Protocol):
    def __call__(
        self, prefix: str = "test", *, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> str: ...


@pytest.fixture
def make_topic(kafka_settings: KafkaSettings, unique: Unique) -> Iterator[MakeTopic]:
    """``make_topic("orders", partitions=3)`` creates a topic of a new name and returns it; deleted afterwards."""
    admin = AdminClient(base_config(kafka_settings))
    made: list[str] = []

    def make(prefix: str = "test", *, partitions: int = 1, config: Mapping[str, str] | None = None) -> str:
        name = unique(prefix)
        topic = NewTopic(name, partitions, 1, config=dict(config or {}))
        admin.create_topics([topic], operation_timeout=10)[name].result()
        made.append(name)
        return name

    yield make
    if made:
        for deleted in admin.delete_topics(made, operation_timeout=10).values():
            deleted.result()
