"""The image's recipe and the compose file, as far as they can be seen without an engine."""

import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import typer.main
import yaml

from pipeline.cli.root import app
from pipeline.config import Settings
from pipeline.events.vocabulary import Channel

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
ONCE = {"topics", "schemas", "migrations"}


def pins(path: str) -> dict[str, set[str]]:
    """Each pinned requirement of a lock file and its hashes."""
    text = (ROOT / path).read_text()
    return {
        block.split(" ", 1)[0]: set(re.findall(r"sha256:[0-9a-f]{64}", block))
        for block in re.split(r"\n(?=[a-z0-9])", text)
        if "==" in block.split("\n")[0]
    }


def test_the_image_installs_what_the_project_was_tested_with() -> None:
    everything = pins("requirements.lock")
    for lock in ("deploy/image/runtime.lock", "deploy/image/build.lock"):
        ours = pins(lock)

        assert ours
        assert ours.items() <= everything.items()
    assert not any(name.startswith(("pytest", "moto", "testcontainers")) for name in pins("deploy/image/runtime.lock"))


def test_the_image_runs_as_nobody_in_particular_and_asks_no_health() -> None:
    last = (ROOT / "Dockerfile").read_text().split("\nFROM ")[-1]

    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert not re.search(r"^HEALTHCHECK", last, re.MULTILINE)
    assert "pip install" not in last


def test_the_compose_file_is_one_by_the_specification() -> None:
    schema = (ROOT / "tests" / "contracts" / "compose-spec" / "compose-spec.json").read_text()

    assert [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(COMPOSE)] == []


def test_compose_delivers_every_channel_once() -> None:
    commands = [service["command"] for service in OURS.values()]

    assert sorted(c[2] for c in commands if c[0] == "worker") == sorted(Channel)


@pytest.mark.parametrize("name", OURS)
def test_each_service_runs_a_command_that_exists(name: str) -> None:
    command: Any = typer.main.get_command(app)
    words = list(OURS[name]["command"])
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, words
        command = command.commands[words.pop(0)]
    command.make_context(name, words)


@pytest.mark.parametrize("name", OURS)
def test_each_service_gets_settings_that_it_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in OURS[name]["environment"].items():
        monkeypatch.setenv(variable, value)

    assert Settings.load().kafka.bootstrap_servers == "kafka:9092"


@pytest.mark.parametrize("name", sorted(OURS.keys() - ONCE))
def test_services_start_when_topics_schemas_and_tables_are_there(name: str) -> None:
    needs = {other: how["condition"] for other, how in OURS[name]["depends_on"].items()}

    assert needs == {"redis": "service_healthy", **dict.fromkeys(ONCE, "service_completed_successfully")}
    assert OURS[name]["read_only"] is True


def test_prometheus_scrapes_every_service() -> None:
    scraped = yaml.safe_load((ROOT / COMPOSE["configs"]["prometheus"]["file"]).read_text())["scrape_configs"][0][
        "static_configs"
    ][0]

    assert {target.removesuffix(":9090") for target in scraped["targets"]} == OURS.keys() - ONCE
