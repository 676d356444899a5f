"""``pipeline suppressions``: what must not be sent to, whoever asks."""

import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import msgspec
import typer

from pipeline.config import Settings
from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel

if TYPE_CHECKING:
    from pipeline.storage.audit import AuditTrail
    from pipeline.storage.suppressions import Entry, Suppressions

app = typer.Typer(help="The suppression list: what must not be sent to, whoever asks.", no_args_is_help=True)

BATCH = 2_000

AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
OfChannel = Annotated[Channel, typer.Option("--channel", help="The channel.")]
OnlyChannel = Annotated[Channel | None, typer.Option("--channel", help="Only this channel.")]
OnlyStream = Annotated[str | None, typer.Option("--stream", help="Only this mail stream; `*` is for entries of all.")]
Address = Annotated[str | None, typer.Option(help="An e-mail address or phone number, whoever has it.")]
User = Annotated[str | None, typer.Option(help="A user's id: the channel at any address.")]
Who = Annotated[str | None, typer.Option(help="For the audit trail; default: your login name.")]
Why = Annotated[str, typer.Option(help="For the audit trail.")]


@app.command("list")
def list_(
    channel: OnlyChannel = None,
    stream: OnlyStream = None,
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    address: Address = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Print what is suppressed now, the oldest first; with `--json` one object a line."""

    async def run() -> None:
        async with _opened(Settings.load()) as (suppressions, _):
            found = suppressions.entries(channel=channel, stream=stream, reason=reason, address=address, user_id=user)
            async for entry in found:
                typer.echo(msgspec.json.encode(entry) if as_json else _to_text(entry))

    asyncio.run(run())


@app.command()
def add(
    channel: OfChannel,
    reason: Annotated[str, typer.Option(help="bounced, complained, stop, unsubscribed, by hand, …")],
    address: Address = None,
    user: User = None,
    stream: Annotated[str, typer.Option(help="The mail stream; `*`: all.")] = "*",
    expires_at: Annotated[str, typer.Option(help="Until when, ISO 8601; default: for good.")] = "",
    who: Who = None,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Suppress an address, or a user's channel. Doing it again never shortens it."""
    from pipeline.suppression.files import parse_instant

    try:
        entry = _entry(channel, stream, address, user, reason, parse_instant(expires_at))
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    put = asyncio.run(_put(iter([entry]), "suppressions.add", who, why))
    typer.echo(msgspec.json.encode(put) if as_json else ("suppressed" if put["added"] else "was suppressed already"))


@app.command()
def remove(
    channel: OfChannel,
    why: Annotated[str, typer.Option(help="Why it may be sent to again; for the audit trail.")],
    address: Address = None,
    address_hash: Annotated[str | None, typer.Option(help="The hash of an address, as `list` shows it.")] = None,
    user: User = None,
    stream: OnlyStream = None,
    who: Who = None,
    as_json: AsJson = False,
) -> None:
    """Take an address, or a user's channel, off the list. Exit code 1 if it was not on it."""
    if not why.strip():
        raise ConfigurationError("--why must say something: it is all that is left to explain it by")
    try:
        entry = _entry(channel, stream or "*", address, user, "removed", None, address_hash)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None

    async def run() -> int:
        async with _opened(Settings.load()) as (suppressions, trail):
            count = await suppressions.remove(entry, every_stream=stream is None)
            details = {"channel": channel.value, "stream": stream, "entries": count}
            await _record(trail, "suppressions.remove", who, why, details)
            return count

    count = asyncio.run(run())
    typer.echo(msgspec.json.encode({"removed": count}) if as_json else f"removed {count} entries")
    if not count:
        raise typer.Exit(1)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with a header line; `-`: standard input.", show_default=False)],
    channel: Annotated[Channel | None, typer.Option(help="Where a row names no channel.")] = None,
    stream: Annotated[str | None, typer.Option(help="Where a row names no stream; default: all.")] = None,
    reason: Annotated[str | None, typer.Option(help="Where a row gives no reason.")] = None,
    who: Who = None,
    why: Why = "",
    as_json: AsJson = False,
) -> None:
    """Add the entries of a CSV file. Everything is checked first; importing twice changes nothing.

    Columns: channel, stream, address (or email, or phone), address_hash, user_id, reason, expires_at.
    """
    from pipeline.suppression.files import read_entries

    with _spooled(file) as lines:
        for _ in read_entries(lines, channel=channel, stream=stream, reason=reason):
            pass
        lines.seek(0)
        entries = read_entries(lines, channel=channel, stream=stream, reason=reason)
        put = asyncio.run(_put(entries, "suppressions.import", who, why))
    if as_json:
        typer.echo(msgspec.json.encode(put))
    else:
        typer.echo(f"{put['added']} added, {put['renewed']} were suppressed already")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to; `-`: standard output.")] = Path("-"),
    channel: OnlyChannel = None,
    stream: OnlyStream = None,
) -> None:
    """Write what is suppressed now as CSV. Of an address it has the salted hash: only this installation can read it back."""
    from pipeline.suppression.files import header_line, to_line

    async def run(out: IO[str]) -> int:
        count = 0
        async with _opened(Settings.load()) as (suppressions, _):
            out.write(header_line())
            async for entry in suppressions.entries(channel=channel, stream=stream):
                out.write(to_line(entry))
                count += 1
        return count

    if str(file) == "-":
        asyncio.run(run(sys.stdout))
        return
    try:
        with file.open("w", encoding="utf-8", newline="") as out:
            count = asyncio.run(run(out))
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be written: {error.strerror}") from None
    typer.echo(f"exported {count} entries to {file}", err=True)


def _entry(
    channel: Channel,
    stream: str,
    address: str | None,
    user: str | None,
    reason: str,
    expires_at: datetime | None,
    address_hash: str | None = None,
) -> "Entry":
    from pipeline.storage.suppressions import Entry
    from pipeline.suppression.files import check

    entry = Entry(
        channel=channel,
        stream=stream,
        address=address,
        address_hash=address_hash.lower() if address_hash else None,
        user_id=user,
        reason=reason,
        expires_at=expires_at,
    )
    check(entry)
    return entry


async def _put(entries: "Iterator[Entry]", action: str, who: str | None, why: str) -> dict[str, int]:
    added = renewed = 0
    async with _opened(Settings.load()) as (suppressions, trail):
        while batch := list(islice(entries, BATCH)):
            put = await suppressions.put(batch)
            added, renewed = added + put.added, renewed + put.renewed
        await _record(trail, action, who, why, {"added": added, "renewed": renewed})
    return {"added": added, "renewed": renewed}


async def _record(
    trail: "AuditTrail", action: str, who: str | None, why: str, details: dict[str, str | int | None]
) -> None:
    await trail.record(
        who=who or getpass.getuser(),
        action=action,
        target="suppressions",
        why=why,
        details=details,
        at=datetime.now(UTC),
    )


@asynccontextmanager
async def _opened(settings: Settings) -> "AsyncIterator[tuple[Suppressions, AuditTrail]]":
    from pipeline.storage.audit import AuditTrail
    from pipeline.storage.postgres import open_pool
    from pipeline.storage.redis import open_redis
    from pipeline.storage.suppressions import Suppressions
    from pipeline.users.directory import UserDirectory

    async with await open_pool(settings.postgres) as pool, open_redis(settings.redis) as redis:
        directory = UserDirectory(pool, redis, ttl=settings.router.snapshot_ttl)
        yield Suppressions(pool, directory.changed), AuditTrail(pool)


@contextmanager
def _spooled(file: Path) -> Iterator[IO[str]]:
    """The file, to be read twice."""
    from tempfile import SpooledTemporaryFile

    try:
        if str(file) != "-":
            with file.open(encoding="utf-8-sig", newline="") as lines:
                yield lines
            return
        with SpooledTemporaryFile(8 << 20, "w+", encoding="utf-8", newline="") as lines:
            lines.writelines(sys.stdin)
            lines.seek(0)
            yield lines
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{file}: is not UTF-8") from None


def _to_text(entry: "Entry") -> str:
    subject = f"user {entry.user_id}" if entry.address_hash is None else f"address {entry.address_hash}"
    until = f" until {entry.expires_at:%Y-%m-%d %H:%M}" if entry.expires_at else ""
    stream = "every stream" if entry.stream == "*" else f"stream {entry.stream}"
    return f"{entry.channel}  {stream}  {subject}  {entry.reason}{until}"
