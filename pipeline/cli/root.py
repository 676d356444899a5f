"""The ``pipeline`` command line, put together.

A command's module is imported when the command is asked for: a service starts sooner, and holds in memory what it needs.
"""

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from pipeline.errors import PipelineError

COMMANDS = {
    "router": "services:router",
    "worker": "services:worker",
    "scheduler": "services:scheduler",
    "gateway": "services:gateway",
    "realtime": "services:realtime",
    "up": "demo:up",
    "demo": "demo:demo",
    "produce": "produce:produce",
    "accounts": "accounts:accounts",
    "explain": "explain:explain",
    "what-if": "whatif:what_if",
    "doctor": "doctor:doctor",
    "migrate": "migrate:migrate",
    "plan-capacity": "capacity:plan_capacity",
    "topics": "topics:app",
    "schemas": "schemas:app",
    "catalogue": "catalogue:app",
    "templates": "templates:app",
    "users": "users:app",
    "devices": "devices:app",
    "keys": "keys:app",
    "suppressions": "suppressions:app",
    "status": "status:app",
    "dlq": "dlq:app",
    "audit": "audit:app",
    "store": "store:app",
    "docs": "docs:app",
}
"""What the command is called → the module below `pipeline.cli`, and the function or group in it."""

Command = TyperCommand | TyperGroup


class OnDemand(Mapping[str, Command]):
    """All of `COMMANDS`, in their order, each loaded when it is looked at."""

    def __getitem__(self, name: str) -> Command:
        if name not in COMMANDS:
            raise KeyError(name)
        return load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(TyperGroup):
    """The group that the command line is."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = OnDemand()  # type: ignore[assignment]  # nothing is ever put into it


def load(name: str) -> Command:
    """The command or group of that name."""
    module, _, attribute = COMMANDS[name].partition(":")
    what: Any = getattr(import_module(f"pipeline.cli.{module}"), attribute)
    if isinstance(what, typer.Typer):
        command: Command = get_group(what)
    else:
        alone = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
        alone.command(name)(what)
        command = cast("TyperCommand", get_command(alone))
    command.name = name
    return command


app = typer.Typer(
    name="pipeline",
    cls=Commands,
    help="Notifications as a Kafka stream-processing pipeline: every one of them exactly accounted for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback()
def _root() -> None:
    """A group without commands of its own needs a callback."""


def main() -> None:
    """Run the command line; an error made by people is one text on stderr and exit code 1, never a traceback."""
    try:
        app()
    except PipelineError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
