"""``pipeline migrate``."""

import json
from typing import Annotated

import typer

from pipeline.config import Settings


def migrate(
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Bring the PostgreSQL schema up to date; running it again, or twice at once, is harmless."""
    from pipeline.storage.migrate import migrate as apply

    applied = apply(Settings.load().postgres.dsn.get_secret_value())
    if as_json:
        typer.echo(json.dumps({"applied": applied}))
    elif applied:
        typer.echo("\n".join(f"applied {migration}" for migration in applied))
    else:
        typer.echo("up to date")
