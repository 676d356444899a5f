"""The services of the compose file, as processes with the environment that it gives them: each becomes healthy, and they
carry out what every earlier release has left on the topics.

What an engine would do besides is stood in for: the servers are the embedded ones, their names and ports are put into the
environment, and each service's own health check is run with its own port.
"""

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from aiohttp import web
from confluent_kafka import Producer

from pipeline.config import KafkaSettings
from pipeline.embedded.processes import Child, Command
from pipeline.embedded.servers import free_port
from pipeline.embedded.stack import Stack
from pipeline.events.codec import HEADER_SIZE, Codec
from pipeline.events.registry import Registry, open_book
from pipeline.events.releases import read_release
from pipeline.events.vocabulary import TERMINAL, Channel, Priority
from pipeline.kafka.client import producer_config
from pipeline.kafka.names import DEFERRED, DELIVERY_STATUS, INGEST, dispatch_topic
from pipeline.kafka.reader import read_topics
from pipeline.kafka.standing import part_of
from pipeline.resources import resource_dir
from pipeline.testing.registry import SchemaRegistry
from tests.recorded import USER, Recorded, recorded

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text())
OURS: dict[str, Any] = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
ONCE = [name for name, service in OURS.items() if service.get("restart") == "no"]
LASTING = [name for name in OURS if name not in ONCE]
IMAGE_ENVIRONMENT = dict(re.findall(r"(PIPELINE_\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))
HEALTH_PORT = "9090"
PATIENCE = 120.0


def interpolated(value: str) -> str:
    """``${NAME:-default}`` as compose reads it where NAME is not set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


@dataclass
class Services:
    """The processes, and the port on which each tells its health."""

    stack: Stack
    registry: str
    ports: dict[str, int]
    children: dict[str, Child]

    def environment(self, name: str) -> dict[str, str]:
        """What compose and image give the service, the names of servers and ports replaced."""
        asked: dict[str, str] = IMAGE_ENVIRONMENT | {
            k: interpolated(str(v)) for k, v in OURS[name]["environment"].items()
        }
        here: dict[str, str] = {
            "kafka:9092": self.stack.broker.bootstrap,
            "http://registry:8081": self.registry,
            "redis://redis:6379/0": self.stack.valkey.url,
            "postgresql://pipeline:pipeline@postgres:5432/notifications": self.stack.postgres.dsn,
        }
        taken: dict[str, str] = {k: here.get(v) or v for k, v in asked.items()}
        port = {k: str(self.ports.setdefault(f"{name} {k}", free_port())) for k in taken if k.endswith("__PORT")}
        return taken | port

    @property
    def settings(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.stack.broker.bootstrap, schema_registry_url=self.registry)

    def start(self, name: str) -> Child:
        environment = self.environment(name)
        argv = (sys.executable, "-m", "pipeline.cli", *OURS[name]["command"])
        child = self.stack.supervisor.child(Command(name=name, argv=argv, environment=environment, patience=30))
        child.start()
        self.children[name] = child
        return child

    def is_healthy(self, name: str) -> bool:
        """By the service's own health check."""
        port = str(self.ports[f"{name} PIPELINE_HTTP__PORT"])
        words = [word.replace(f":{HEALTH_PORT}/", f":{port}/") for word in OURS[name]["healthcheck"]["test"]]
        assert words[:2] == ["CMD", "python"]
        return subprocess.run([sys.executable, *words[2:]], capture_output=True, check=False).returncode == 0

    def report(self, name: str) -> Any:
        """What ``/readyz`` answers, whatever its status."""
        try:
            url = f"http://127.0.0.1:{self.ports[f'{name} PIPELINE_HTTP__PORT']}/readyz"
            with urllib.request.urlopen(url, timeout=10) as answer:
                return msgspec.json.decode(answer.read())
        except urllib.error.HTTPError as error:
            return msgspec.json.decode(error.read())


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """A schema registry that begins empty, in a thread of its own."""
    port, ready, loops = free_port(), threading.Event(), list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    async def serve() -> None:
        runner = web.AppRunner(SchemaRegistry().app(), access_log=None, handle_signals=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    yield f"http://127.0.0.1:{port}"
    ((loop, stop),) = loops
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)


@pytest.fixture(scope="module")
def services(registry: str) -> Iterator[Services]:
    """All of them, started in the order that the file asks for: what runs once has ended well before the others begin."""
    with Stack.open(_without_addresses(os.environ)) as stack:
        services = Services(stack, registry, {}, {})
        for name in ONCE:
            child = services.start(name)
            assert child.wait(PATIENCE) == 0, child.log_tail()
        for name in LASTING:
            services.start(name)
        yield services


def _without_addresses(environ: Mapping[str, str]) -> dict[str, str]:
    """A stack of its own, also where the other tests are pointed at servers that run already."""
    return {name: value for name, value in environ.items() if not name.startswith("PIPELINE_") or "__" not in name}


def test_what_runs_once_is_what_the_others_wait_for() -> None:
    waited = {name for service in OURS.values() for name in service["depends_on"] if name in OURS}
    assert waited == set(ONCE)


def produce_recorded(services: Services) -> None:
    """An event, a dispatch and a deferred record of every release, as a service of that release wrote them here."""
    topics = {
        "NotificationRequested": INGEST,
        "Dispatch": dispatch_topic(Channel.IN_APP, Priority.HIGH),
        "Deferred": DEFERRED,
    }
    producer = Producer(producer_config(services.settings))
    for record in recorded():
        if topic := topics.get(record.name):
            producer.produce(topic, under_registry(services.registry, topic, record), USER.encode())
    assert producer.flush(30) == 0


def under_registry(url: str, topic: str, record: Recorded) -> bytes:
    """The same record under the id that this registry gave its schema; the lock file's is another."""
    schema = read_release(resource_dir("avro"), record.name, record.release)
    found = asyncio.run(Registry(url).lookup(f"{topic}-value", schema))
    assert found is not None
    return b"\0" + found.to_bytes(4, "big") + record.value[HEADER_SIZE:]


def await_outcomes(kafka: KafkaSettings, events: set[int], deadline: float) -> None:
    """Until each of these recorded events has a terminal outcome."""
    codec, wanted = asyncio.run(open_codec(kafka)), {f"evt_recorded_{number}" for number in events}
    while True:
        statuses = [codec.decode_status(m.value()) for batch in read_topics(kafka, [DELIVERY_STATUS]) for m in batch]
        ended = {status.event_id for status in statuses if status.status in TERMINAL}
        if wanted <= ended:
            return
        assert time.monotonic() < deadline, (wanted - ended, statuses)
        time.sleep(0.5)


async def open_codec(kafka: KafkaSettings) -> Codec:
    return Codec.open(await open_book(kafka))


def test_every_service_becomes_healthy_takes_what_earlier_releases_wrote_and_ends_when_asked(
    services: Services,
) -> None:
    deadline = time.monotonic() + PATIENCE
    for name in LASTING:
        child = services.children[name]
        while not services.is_healthy(name):
            assert child.running, child.log_tail()
            assert time.monotonic() < deadline, (name, services.report(name), child.log_tail())
            time.sleep(0.2)
    report = services.report("router")
    assert report["parts"][part_of(INGEST)] == {"ok": True, "detail": ""}, "ready because it was assigned partitions"
    produce_recorded(services)
    await_outcomes(services.settings, {1, 2, 3}, deadline)
    for name in LASTING:
        services.children[name].ask_to_stop()
    assert {name: services.children[name].wait(PATIENCE) for name in LASTING} == dict.fromkeys(LASTING, 0)
