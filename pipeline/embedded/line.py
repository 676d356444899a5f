"""The whole pipeline on one machine: servers, provider simulators and services, each a real process."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config import Settings
from pipeline.embedded.processes import Child, Command
from pipeline.embedded.servers import free_port
from pipeline.embedded.stack import Stack
from pipeline.errors import Unavailable
from pipeline.events.vocabulary import Channel
from pipeline.kafka.topology import apply_topics
from pipeline.storage.migrate import migrate

READY_WITHIN = 60.0
PARTITIONS = 4

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to start. `simulators` are arguments of ``python -m pipeline.testing``; None: no simulators.

    `gateway`: on a free port of this machine, where the simulators' receipts come to.
    """

    simulators: Sequence[str] | None = ()
    partitions: int = PARTITIONS
    router: bool = True
    scheduler: bool = True
    gateway: bool = False
    store: bool = False
    workers: Sequence[Channel] = tuple(Channel)
    realtime: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """A running pipeline. `environment` points any other process at it; `ports` serve each service's health."""

    stack: Stack
    environment: dict[str, str]
    ports: dict[str, int]
    services: dict[str, Child]

    @property
    def settings(self) -> Settings:
        """The settings as the services see them."""
        with _environment(self.environment):
            return Settings.load()

    def start(self, name: str, *arguments: str) -> Child:
        """Start ``pipeline ARGUMENTS`` as service `name`, with a port of its own for health and metrics."""
        self.ports[name] = free_port()
        environment = {**self.environment, "PIPELINE_HTTP__PORT": str(self.ports[name])}
        argv = (sys.executable, "-m", "pipeline.cli", *arguments)
        child = self.stack.supervisor.child(Command(name=name, argv=argv, environment=environment, patience=20.0))
        child.start()
        self.services[name] = child
        return child

    def await_ready(self, within: float = READY_WITHIN) -> None:
        """Wait until every service says that it is ready.

        Raises:
            Unavailable: one ended, or is not ready in time; with what it wrote last.
        """
        deadline = time.monotonic() + within
        for name, child in self.services.items():
            while not _ready(self.ports[name]):
                if not child.running or time.monotonic() > deadline:
                    state = "is not ready" if child.running else "ended"
                    raise Unavailable(f"{name} {state}; it wrote last:\n{child.log_tail()}")
                time.sleep(0.05)


def open_line(stack: Stack, plan: Plan, *, say: Say = lambda _text: None) -> Line:
    """Prepare topics and tables on the stack and start simulators and services; they may not be ready yet."""
    gateway = _gateway_environment() if plan.gateway else {}
    environment = {**stack.environment(), **_defaults(), **gateway, **plan.environment}
    if plan.simulators is not None:
        say("starting the provider simulators")
        told = ("--receipts-to", environment["PIPELINE_HTTP__PUBLIC_URL"]) if plan.gateway else ()
        environment |= _start_simulators(stack, (*plan.simulators, *told))
    line = Line(stack, environment, {}, {})
    settings = line.settings
    say("applying topics and migrations")
    apply_topics(settings.kafka, partitions=plan.partitions, replication_factor=1)
    migrate(settings.postgres.dsn.get_secret_value())
    say("starting router, scheduler and a worker for each channel")
    if plan.router:
        line.start("router", "router")
    if plan.scheduler:
        line.start("scheduler", "scheduler")
    if plan.gateway:
        line.start("gateway", "gateway")
    if plan.store:
        line.start("store", "store")
    for channel in plan.workers:
        line.start(f"worker-{channel}", "worker", "--channel", channel)
    if plan.realtime:
        line.start("realtime", "realtime")
    return line


def _defaults() -> dict[str, str]:
    from pipeline.resources import resource_dir

    examples = resource_dir("examples")
    defaults = {
        "PIPELINE_CATALOGUE__PATH": str(examples / "catalogue.yaml"),
        "PIPELINE_CATALOGUE__TEMPLATES": str(examples / "templates"),
        "PIPELINE_EMAIL__UNSUBSCRIBE_SECRET": "only-for-this-laptop",
        "PIPELINE_LOG__FORMAT": "text",
    }
    return {name: os.environ.get(name, value) for name, value in defaults.items()}


def _gateway_environment() -> dict[str, str]:
    """A place for the gateway, and its address for those who link to it."""
    port = int(os.environ.get("PIPELINE_GATEWAY__PORT", "0")) or free_port()
    return {"PIPELINE_GATEWAY__PORT": str(port), "PIPELINE_HTTP__PUBLIC_URL": f"http://127.0.0.1:{port}"}


def _start_simulators(stack: Stack, arguments: Sequence[str]) -> dict[str, str]:
    """Start them and read the environment that they print as one line of JSON."""
    child = stack.supervisor.python("simulators", "-m", "pipeline.testing", *arguments)
    deadline = time.monotonic() + READY_WITHIN
    while time.monotonic() < deadline and child.running:
        for text in _lines(child.log):
            if text.startswith("{"):
                environment: dict[str, str] = json.loads(text)
                return environment
        time.sleep(0.05)
    raise Unavailable(f"the provider simulators did not start:\n{child.log_tail()}")


def _lines(path: Path) -> list[str]:
    text = path.read_text(errors="replace") if path.exists() else ""
    return text.splitlines() if text.endswith("\n") else []


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
