"""``pipeline docs``: the reference pages that are made from the code."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The reference pages that are made from the code.", no_args_is_help=True)


@app.callback()
def docs() -> None:
    """The reference pages that are made from the code."""


@app.command()
def build(
    folder: Annotated[Path, typer.Argument(help="The folder of the pages.")] = Path("docs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the list of pages that changed.")] = False,
) -> None:
    """Make the tables of settings, statuses, reasons, metrics and commands anew. Run twice, the second time changes nothing."""
    from pipeline.docs import PAGES, rebuild
    from pipeline.errors import ConfigurationError

    if missing := [name for name in PAGES if not (folder / name).is_file()]:
        raise ConfigurationError(f"{folder} has no {', '.join(missing)}: give the repository's folder docs/")
    changed = rebuild(folder)
    if as_json:
        typer.echo(json.dumps(changed))
    else:
        typer.echo(f"made anew: {', '.join(changed)}" if changed else "every page is current")


@app.command()
def dashboards(
    folder: Annotated[Path, typer.Argument(help="The folder that has grafana/ and prometheus/.")] = Path("deploy"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the list of files that changed.")] = False,
) -> None:
    """Make Grafana's dashboards and the rules of the service levels anew. Run twice, the second time changes nothing."""
    from pipeline.errors import ConfigurationError
    from pipeline.observability.boards.files import rebuild

    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}: give the repository's folder deploy/")
    changed = rebuild(folder)
    if as_json:
        typer.echo(json.dumps(changed))
    else:
        typer.echo(f"made anew: {', '.join(changed)}" if changed else "every file is current")
