"""``pipeline users …``."""

import asyncio
import getpass
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pipeline.config import Settings
from pipeline.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from pipeline.privacy.erasure import Erasure

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


@app.command()
def erase(
    users: Annotated[list[str], typer.Argument(help="User ids.", show_default=False)],
    why: Annotated[str, typer.Option(help="Why; for the audit trail.")],
    who: Annotated[str | None, typer.Option(help="For the audit trail; default: your login name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Erase users for good, then search every table, every Redis key and the archive for what is left.

    Exit code 0 only if nothing is. Of an address that was suppressed a salted hash stays, so that it stays suppressed.
    """
    if not why.strip():
        raise ConfigurationError("--why must say something: it is all that is left to explain it by")
    done = asyncio.run(_erase(users, who or getpass.getuser(), why, Settings.load()))
    if as_json:
        typer.echo(msgspec.json.encode({"complete": done.complete, **msgspec.to_builtins(done)}))
    else:
        typer.echo(
            f"erased {done.users} users: {sum(done.rows.values())} rows, {done.keys} Redis keys, {done.archived_rows} rows "
            f"of {done.archive_files} archived files; {done.waits} notifications that waited have ended"
        )
    if not done.complete:
        left = ", ".join([*done.left_in_postgresql, *(f"Redis {kind}:…" for kind in done.left_in_redis)])
        left = ", ".join(part for part in (left, *(f"archive {file}" for file in done.left_in_archive)) if part)
        typer.echo(f"error: something that names them is left in {left}; run it again, then look there", err=True)
        raise typer.Exit(1)


@app.command()
def export(user: Annotated[str, typer.Argument(help="The user's id.", show_default=False)]) -> None:
    """Print everything that the database holds about a user, by table, as one JSON object."""
    rows = asyncio.run(_export(user, Settings.load()))
    typer.echo(msgspec.json.format(msgspec.json.encode({"user_id": user, "data": rows}), indent=2))


async def _erase(users: list[str], who: str, why: str, settings: Settings) -> "Erasure":
    from pipeline.privacy.erasure import erase
    from pipeline.privacy.waits import StatusTeller
    from pipeline.storage.postgres import open_pool
    from pipeline.storage.redis import REDIS_AWAY, open_redis
    from pipeline.store.forget import forget
    from pipeline.users.directory import UserDirectory

    archive, dsn = settings.store.archive, settings.postgres.dsn.get_secret_value()
    async with await open_pool(settings.postgres) as pool, open_redis(settings.redis) as redis:
        directory = UserDirectory(pool, redis, ttl=settings.router.snapshot_ttl)
        try:
            return await erase(
                pool,
                redis,
                directory,
                users,
                who=who,
                why=why,
                at=datetime.now(UTC),
                tell=StatusTeller(settings.kafka),
                forget=(lambda ids, needles: forget(dsn, archive, ids, needles)) if archive.url else None,
            )
        except REDIS_AWAY as error:
            raise Unavailable(f"Redis is away, and may still hold them ({error}): run it again") from None


async def _export(user: str, settings: Settings) -> dict[str, list[object]]:
    from pipeline.privacy.tables import export_rows
    from pipeline.storage.postgres import open_pool, reachable

    async with await open_pool(settings.postgres) as pool:
        with reachable():
            async with pool.acquire() as connection:
                return await export_rows(connection, user)


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
