"""``pipeline store``: the service, and what operators do with its partitions."""

import asyncio
import json
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.config import Settings

if TYPE_CHECKING:
    from pipeline.store.upkeep import Partition

app = typer.Typer(help="Keep what became of notifications in PostgreSQL, and archive what is old.")

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Day = Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="A day (UTC).")]


class Dataset(StrEnum):
    """What is kept: every record, and where each notification stands."""

    STATUS_EVENTS = "status_events"
    HISTORY = "history"


@app.callback(invoke_without_command=True)
def store(context: typer.Context) -> None:
    """Take the delivery-status topic over into PostgreSQL, make partitions ahead, archive and drop old ones."""
    if context.invoked_subcommand is None:
        from pipeline.runtime import run_service
        from pipeline.store.service import serve_store

        run_service("store", Settings.load(), serve_store)


@app.command()
def partitions(
    ahead: Annotated[int | None, typer.Option(min=0, help="First make the partitions of so many days ahead.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the daily partitions, oldest first; rows are PostgreSQL's estimate."""
    found = asyncio.run(_partitions(Settings.load(), ahead))
    if as_json:
        typer.echo(json.dumps([p._asdict() | {"day": p.day.isoformat()} for p in found]))
        return
    for p in found:
        typer.echo(f"{p.day}  {p.dataset:<13}  about {p.rows:>12,} rows  {p.bytes / 1e6:>10,.1f} MB")


async def _partitions(settings: Settings, ahead: int | None) -> "list[Partition]":
    from pipeline.storage.postgres import open_pool
    from pipeline.store.upkeep import add_days, partitions, today

    async with await open_pool(settings.postgres) as pool:
        if ahead is not None:
            await add_days(pool, today(), today() + timedelta(days=ahead))
        return await partitions(pool)


@app.command()
def archive(
    before: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Days before this one; default: those older than the setting says."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Archive old days, read each file again, and drop the partition. Stopped anywhere, it goes on from there."""
    from pipeline.store.archive import Archive
    from pipeline.store.upkeep import today

    settings = Settings.load()
    until = before.date() if before else today() - timedelta(days=settings.store.archive.after_days)
    done = []
    for one in Archive(settings.postgres.dsn.get_secret_value(), settings.store.archive).run(until):
        done.append(one)
        if not as_json:
            typer.echo(f"archived {one.rows:,} rows of {one.dataset}, {one.day}")
    if as_json:
        typer.echo(json.dumps([d._asdict() | {"day": d.day.isoformat()} for d in done]))
    elif not done:
        typer.echo(f"nothing to archive before {until}")


@app.command()
def restore(
    day: Day,
    dataset: Annotated[Dataset | None, typer.Option(help="Only this table; default: both.")] = None,
    as_json: AsJson = False,
) -> None:
    """Load an archived day into tables of its own, restored_…; the archive keeps it. Drop them when done."""
    from pipeline.store.archive import Archive

    settings = Settings.load()
    store = Archive(settings.postgres.dsn.get_secret_value(), settings.store.archive)
    tables: dict[str, int] = {}
    for one in [dataset] if dataset else list(Dataset):
        table, rows = store.restore(one, _day(day))
        tables[table] = rows
    typer.echo(json.dumps(tables) if as_json else "\n".join(f"{t}: {rows:,} rows" for t, rows in tables.items()))


def _day(value: datetime) -> date:
    return value.date()
