"""``pipeline users …``."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.config import Settings

app = typer.Typer(help="Users and their preferences.", no_args_is_help=True)


@app.callback()
def users() -> None:
    """Users and their preferences."""


@app.command()
def load(
    file: Annotated[Path, typer.Argument(help="YAML (see examples/users.yaml) or JSON lines.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Create or update the users of a file. What they have beyond it stays; loading twice changes nothing."""
    count = asyncio.run(_load(file, Settings.load()))
    typer.echo(json.dumps({"loaded": count}) if as_json else f"loaded {count} users from {file}")


async def _load(file: Path, settings: Settings) -> int:
    from pipeline.storage.bulk import bulk_load
    from pipeline.storage.postgres import open_pool
    from pipeline.storage.redis import open_redis
    from pipeline.users.directory import UserDirectory
    from pipeline.users.files import read_users

    loaded = read_users(file)
    async with await open_pool(settings.postgres) as pool, open_redis(settings.redis) as redis:
        directory = UserDirectory(pool, redis, ttl=settings.router.snapshot_ttl)
        await bulk_load(pool, loaded, directory.changed)
    return len(loaded)
