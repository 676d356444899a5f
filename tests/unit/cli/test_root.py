"""The command line as a whole."""

import subprocess
import sys

import pytest
import typer

from pipeline.cli.root import COMMANDS, app


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_says_what_it_does(name: str) -> None:
    root = typer.main.get_command(app)
    command = root.get_command(typer.Context(root), name)  # type: ignore[attr-defined]
    assert command.name == name
    assert command.help or command.get_short_help_str()


def test_asking_for_one_command_does_not_import_what_the_others_need() -> None:
    """A worker of the least memory has no use for Faust, nor a router for Docker's client."""
    code = "import sys; from pipeline.cli.root import load; load('topics'); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "pipeline.cli.topics" in modules
    assert not {"faust", "docker", "firebase_admin", "pipeline.cli.services"} & set(modules)
