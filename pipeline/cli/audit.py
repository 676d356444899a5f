"""``pipeline audit``: who did what by hand, and whether that record is whole."""

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pipeline.cli.status import parse_duration
from pipeline.config import Settings
from pipeline.errors import ConfigurationError

if TYPE_CHECKING:
    from pipeline.storage.audit import AuditEntry, Head, Verdict

app = typer.Typer(help="The audit trail: what people did by hand, to what, when and why.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@app.command("list")
def list_(
    action: Annotated[str | None, typer.Option(help="Only this action, or all of a kind: `dlq`.")] = None,
    who: Annotated[str | None, typer.Option(help="Only what this person did.")] = None,
    since: Annotated[str | None, typer.Option(help="Start that long ago: 30s, 10m, 2h, 7d.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The last so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Print the last entries, oldest first; with `--json` one object a line."""
    begin = datetime.fromtimestamp(time.time() - parse_duration(since), UTC) if since else None
    for entry in reversed(asyncio.run(_last(Settings.load(), limit, action, who, begin))):
        typer.echo(_to_json(entry) if as_json else _to_text(entry))


@app.command()
def verify(
    noted: Annotated[
        str | None, typer.Option("--contains", help="A head from earlier times, `SEQ:HASH`: is it still in the trail?")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no entry was changed or taken away. Exit code 0 only if the trail is whole.

    Note the head that this prints outside of the database: then a trail that was made anew is found too.
    """
    from pipeline.storage.audit import Head

    try:
        head = Head.parse(noted) if noted else None
    except ValueError:
        raise ConfigurationError(f"{noted!r} is no head: write it as `pipeline audit verify` printed it") from None
    verdict = asyncio.run(_verify(Settings.load(), head))
    if as_json:
        typer.echo(msgspec.json.encode({"ok": not verdict.problem, **msgspec.to_builtins(verdict)}))
    elif verdict.problem:
        typer.echo(f"NOT WHOLE after {verdict.entries} sound entries: {verdict.problem}")
    else:
        typer.echo(f"whole: {verdict.entries} entries, head {verdict.head}")
    if verdict.problem:
        raise typer.Exit(1)


async def _last(
    settings: Settings, limit: int, action: str | None, who: str | None, since: datetime | None
) -> "list[AuditEntry]":
    from pipeline.storage.audit import AuditTrail
    from pipeline.storage.postgres import open_pool

    async with await open_pool(settings.postgres) as pool:
        return await AuditTrail(pool).last(limit, action=action, who=who, since=since)


async def _verify(settings: Settings, noted: "Head | None") -> "Verdict":
    from pipeline.storage.audit import AuditTrail
    from pipeline.storage.postgres import open_pool

    async with await open_pool(settings.postgres) as pool:
        return await AuditTrail(pool).verify(noted)


def _to_json(entry: "AuditEntry") -> str:
    document = msgspec.to_builtins(entry, builtin_types=(bytes,))
    details = msgspec.json.decode(entry.details)
    hashes = {"previous_hash": entry.previous_hash.hex(), "hash": entry.hash.hex()}
    return msgspec.json.encode({**document, "details": details, **hashes}).decode()


def _to_text(entry: "AuditEntry") -> str:
    at = entry.at.astimezone(UTC).isoformat(sep=" ", timespec="seconds").removesuffix("+00:00")
    why = f"  “{entry.why}”" if entry.why else ""
    return f"{entry.seq}  {at}  {entry.who}  {entry.action}  {entry.target}{why}  {entry.details}"
