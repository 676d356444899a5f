"""``pipeline catalogue …``."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The event catalogue.", no_args_is_help=True)


@app.callback()
def catalogue() -> None:
    """The event catalogue."""


@app.command()
def check(
    path: Annotated[
        Path | None,
        typer.Argument(help="The catalogue file; the one of the settings if not given.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Say every mistake of a catalogue, one a line; exit code 1 if there is any."""
    from pipeline.catalogue.loader import load_catalogue
    from pipeline.config import Settings
    from pipeline.errors import CatalogueError

    file = path or Settings.load().catalogue.path
    try:
        loaded = load_catalogue(file)
    except CatalogueError as error:
        _refuse(error.problems, as_json)
        raise typer.Exit(1) from None
    found = {"policy_version": loaded.policy_version, "event_types": sorted(loaded.entries)}
    if as_json:
        typer.echo(json.dumps({"ok": True, **found, "problems": []}))
    else:
        typer.echo(f"{file}: {len(loaded.entries)} event types, policy version {loaded.policy_version}")


def _refuse(problems: list[str], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"ok": False, "problems": problems}))
    for problem in problems:
        typer.echo(problem, err=True)
