"""What a service says when something is missing or wrong: one clear line, no traceback."""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from pipeline.embedded.broker import FORCED
from pipeline.embedded.line import Line, Plan, open_line
from pipeline.embedded.processes import Child
from pipeline.embedded.servers import Restartable, free_port
from pipeline.embedded.stack import Stack
from pipeline.kafka.names import INGEST
from pipeline.resources import resource_dir
from tests.line.rig import Rig, wait_until
from tests.line.test_malformed_records import event, reader

ANSWERS_WITHIN = 10.0
ROUTER = ("router",)
WORKER = ("worker", "--channel", "in_app", "--priority", "high")


class Report(msgspec.Struct):
    ready: bool
    missing: list[str]
    parts: dict[str, dict[str, object]]


class Entry(msgspec.Struct):
    """A line of a log."""

    message: str
    exception: str = ""


@pytest.fixture(scope="module")
def lonely() -> Iterator[Line]:
    """A line without services, on servers of its own: these tests take them away."""
    forced = {FORCED: os.environ[FORCED]} if FORCED in os.environ else {}
    with Stack.open(forced) as stack:
        yield open_line(stack, Plan(router=False, workers=(), environment={"PIPELINE_LOG__FORMAT": "json"}))


@pytest.mark.real_broker
@pytest.mark.parametrize("missing", ["kafka", "redis", "postgresql"])
def test_services_started_without_a_server_say_so_wait_and_work_once_it_is_there(lonely: Line, missing: str) -> None:
    rig = Rig(lonely)
    rig.load([reader(number) for number in range(50)])
    server = server_of(lonely, missing)
    server.stop()
    services = [lonely.start(f"{name}-without-{missing}", *arguments) for name, arguments in named().items()]
    try:
        for service in services:
            wait_until(lambda: missing in not_ready(lonely, service.name), f"{service.name} misses {missing}")  # noqa: B023
            wait_until(lambda: "cannot reach" in service.log.read_text(), f"{service.name} says so")  # noqa: B023
        time.sleep(1.0)
        assert all(service.running for service in services)
        server.start()
        lonely.await_ready(within=40.0)
        rig.produce([event(number) for number in range(20)])
        assert rig.settle_groups("notification-router", "notification-in-app-high") == 0
        for service in services:
            assert_one_clear_line(service, missing)
    finally:
        server.start()
        stop(lonely, services)


@pytest.mark.real_broker
def test_a_missing_topic_is_named_with_the_command_that_creates_it(lonely: Line) -> None:
    """The router of a cluster to which nothing was applied."""
    other = {"PIPELINE_EMBEDDED_BROKER": os.environ[FORCED]} if FORCED in os.environ else {}
    with Stack.open({**other, **without_kafka(lonely)}) as bare:
        port = free_port()
        environment = {**lonely.environment, **bare.environment(), "PIPELINE_HTTP__PORT": str(port)}
        child = bare.supervisor.python("router", "-m", "pipeline.cli", "router", environment=environment)
        wait_until(lambda: "pipeline topics apply" in details(port), "the remedy is named")
        assert INGEST in details(port)
        assert "pipeline topics apply" in child.log.read_text()
        assert "Traceback" not in child.log.read_text()


CASES: dict[str, tuple[dict[str, str], list[str]]] = {
    "a value of the wrong type": (
        {"PIPELINE_ROUTER__FETCH_MAX_RECORDS": "abc"},
        ["router.fetch_max_records", "PIPELINE_ROUTER__FETCH_MAX_RECORDS"],
    ),
    "an unknown key": ({"PIPELINE_ROUTER__FETCH_MAX_RECRDS": "5"}, ["router.fetch_max_recrds"]),
    "a settings file that is not there": ({"PIPELINE_CONFIG": "/no/such/file.yaml"}, ["/no/such/file.yaml"]),
}


@pytest.mark.parametrize("command", [ROUTER, WORKER], ids=["router", "worker"])
@pytest.mark.parametrize("case", CASES)
def test_a_wrong_setting_ends_a_service_at_once_with_its_name(command: tuple[str, ...], case: str) -> None:
    variables, expected = CASES[case]
    assert_refused(command, variables, expected)


def test_an_unknown_key_in_the_settings_file_ends_a_service_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("kafka:\n  bootstrap: localhost:9092\n")
    assert_refused(ROUTER, {"PIPELINE_CONFIG": str(file)}, ["kafka.bootstrap"])


def test_a_settings_file_that_is_no_yaml_ends_a_service_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("kafka: [\n")
    assert_refused(ROUTER, {"PIPELINE_CONFIG": str(file)}, [str(file)])


def test_a_broken_catalogue_ends_the_router_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    good = (resource_dir("examples") / "catalogue.yaml").read_text()
    file.write_text(good.replace("    priority: high\n", "    priority: urgent\n", 1))
    line = good[: good.index("    priority: high\n")].count("\n") + 1
    assert_refused(ROUTER, {"PIPELINE_CATALOGUE__PATH": str(file)}, [f"{file}:{line}"])


@pytest.mark.real_broker
def test_a_broken_template_ends_a_worker_with_file_and_line(lonely: Line, tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    shutil.copytree(resource_dir("examples") / "templates", folder)
    broken = folder / "comment" / "en" / "in_app.title.txt"
    broken.write_text("fine\n{{ data.author ")
    assert_refused(WORKER, {**lonely.environment, "PIPELINE_CATALOGUE__TEMPLATES": str(folder)}, ["in_app.title.txt:2"])


def named() -> dict[str, tuple[str, ...]]:
    return {"router": ROUTER, "worker": WORKER}


def server_of(line: Line, name: str) -> Restartable:
    stack = line.stack
    server = {"kafka": stack.broker.server, "redis": stack.valkey.server, "postgresql": stack.postgres.server}[name]
    assert server is not None
    return server


def without_kafka(line: Line) -> dict[str, str]:
    environment = line.stack.environment()
    return {name: value for name, value in environment.items() if "KAFKA" not in name}


def report(port: int) -> tuple[int, Report]:
    """Status and body of ``/readyz``; 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status, msgspec.json.decode(answer.read(), type=Report)
    except urllib.error.HTTPError as error:
        return error.code, msgspec.json.decode(error.read(), type=Report)
    except OSError:
        return 0, Report(ready=False, missing=[], parts={})


def details(port: int) -> str:
    return json.dumps(report(port)[1].parts)


def not_ready(line: Line, name: str) -> str:
    """What it lacks, by its own words; empty unless the answer is 503."""
    status, body = report(line.ports[name])
    return " ".join(body.missing).lower() if status == 503 else ""


def assert_one_clear_line(service: Child, missing: str) -> None:
    """And nothing that a machine cannot read, nor a traceback."""
    log = service.log.read_text()
    entries = [msgspec.json.decode(line, type=Entry) for line in log.splitlines()]
    assert not any(entry.exception for entry in entries), log
    told = [e for e in entries if "cannot reach" in e.message and missing in e.message.lower()]
    assert told, log
    assert len(told) <= 3, log


def stop(line: Line, services: list[Child]) -> None:
    for service in services:
        service.stop()
        del line.services[service.name]


def assert_refused(command: tuple[str, ...], variables: Mapping[str, str], expected: list[str]) -> None:
    """Exit status 1 in time, and an error on stderr that has all the words and no traceback."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *command],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        timeout=ANSWERS_WITHIN * 3,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "error:" in done.stderr
    for words in expected:
        assert words in done.stderr
