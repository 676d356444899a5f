"""``pipeline keys …``: the gateway's API keys."""

import asyncio
import getpass
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
import typer

from pipeline.catalogue.durations import seconds
from pipeline.config import Settings
from pipeline.errors import ConfigurationError

if TYPE_CHECKING:
    from pipeline.gateway.access import Scope
    from pipeline.storage.api_keys import ApiKey, ApiKeys
    from pipeline.storage.audit import Detail
    from pipeline.storage.postgres import Pool

T = TypeVar("T")

app = typer.Typer(help="The gateway's API keys.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
KeyId = Annotated[str, typer.Argument(help="The key's id: the 12 characters after ntf_.", show_default=False)]

_ID_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who uses it; also the source of its events.", show_default=False)],
    scope: Annotated[str, typer.Option(help="Comma-separated: ingest, read, preferences, admin.")] = "ingest",
    rate: Annotated[float, typer.Option(help="Requests a second.", min=0.01)] = 100,
    burst: Annotated[int, typer.Option(help="Requests at once.", min=1)] = 200,
    quota: Annotated[int | None, typer.Option(help="Events a day (UTC); none: unlimited.", min=1)] = None,
    expires: Annotated[str | None, typer.Option(help="How long it is good, like 90d; none: for good.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once: nobody can read it again."""
    from pipeline.gateway.auth.keys import ID_LENGTH, SECRET_BYTES, format_key, hash_secret
    from pipeline.storage.api_keys import NewApiKey

    secret = secrets.token_bytes(SECRET_BYTES)
    new = NewApiKey(
        key_id="".join(secrets.choice(_ID_ALPHABET) for _ in range(ID_LENGTH)),
        name=_name(name),
        scopes=[str(scope) for scope in parse_scopes(scope)],
        secret_hash=hash_secret(secret),
        rate=rate,
        burst=burst,
        daily_quota=quota,
        expires_at=None if expires is None else datetime.now(UTC) + _duration("--expires", expires),
    )
    key = _run("key.create", lambda keys: keys.add(new), scopes=new.scopes)
    assert key
    _show_secret(key, format_key(key.key_id, secret), as_json)


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """Every key: its id, what it may do, whether it is in force. Secrets are not kept, so none is shown."""
    keys = asyncio.run(_with_keys(lambda keys, _pool: keys.all()))
    if as_json:
        typer.echo(msgspec.json.encode([_public(key) for key in keys]))
        return
    for key in keys:
        quota = f", {key.daily_quota} a day" if key.daily_quota else ""
        scopes = ",".join(key.scopes)
        typer.echo(f"ntf_{key.key_id}_…  {state(key):<8} {scopes:<24} {key.rate:g}/s{quota}  {key.name}")


@app.command()
def rotate(
    key_id: KeyId,
    grace: Annotated[str, typer.Option(help="How long the old secret stays good, like 24h; 0s: not at all.")] = "24h",
    as_json: AsJson = False,
) -> None:
    """Give a key another secret and print it, this once; the old one stays good for the grace."""
    from pipeline.gateway.auth.keys import SECRET_BYTES, format_key, hash_secret

    secret = secrets.token_bytes(SECRET_BYTES)
    span = _duration("--grace", grace, least=0)
    key = _run("key.rotate", lambda keys: keys.rotate(_id(key_id), hash_secret(secret), span), grace=grace)
    if key is None:
        raise ConfigurationError(f"there is no key {key_id}, or it is revoked: see pipeline keys list")
    _show_secret(key, format_key(key.key_id, secret), as_json)


@app.command()
def revoke(key_id: KeyId, as_json: AsJson = False) -> None:
    """Make a key good for nothing, for good; gateways notice within gateway.key_cache seconds."""
    key = _run("key.revoke", lambda keys: keys.revoke(_id(key_id)))
    if key is None:
        raise ConfigurationError(f"there is no key {key_id}: see pipeline keys list")
    typer.echo(msgspec.json.encode(_public(key)) if as_json else f"revoked {key.key_id} ({key.name})")


def parse_scopes(text: str) -> "Sequence[Scope]":
    """Scopes out of a comma-separated list, without repeats.

    Raises:
        ConfigurationError: a word is no scope.
    """
    from pipeline.gateway.access import Scope

    words = [word.strip() for word in text.split(",") if word.strip()]
    wrong = [word for word in words if word not in set(Scope)]
    if wrong or not words:
        raise ConfigurationError(f"--scope {text!r}: give one or more of {', '.join(Scope)}, separated by commas")
    return list(dict.fromkeys(Scope(word) for word in words))


def state(key: "ApiKey") -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else "active"


def _run(action: str, change: "Callable[[ApiKeys], Awaitable[ApiKey | None]]", **details: "Detail") -> "ApiKey | None":
    """Make the change and record it."""
    from pipeline.gateway.audit import AuditEntry, open_audit

    async def work(keys: "ApiKeys", pool: "Pool") -> "ApiKey | None":
        key = await change(keys)
        if key is not None:
            at = time.time_ns() // 1_000_000
            entry = AuditEntry(
                actor=f"cli:{getpass.getuser()}", action=action, subject=f"key:{key.key_id}", at=at, details=details
            )
            await open_audit(pool).record(entry)
        return key

    return asyncio.run(_with_keys(work))


async def _with_keys(work: "Callable[[ApiKeys, Pool], Awaitable[T]]") -> "T":
    from pipeline.storage.api_keys import ApiKeys
    from pipeline.storage.postgres import open_pool

    async with await open_pool(Settings.load().postgres) as pool:
        return await work(ApiKeys(pool), pool)


def _show_secret(key: "ApiKey", text: str, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode({**_public(key), "key": text}))
        return
    typer.echo(text)
    typer.echo(f"{key.name}: {', '.join(key.scopes)}. Keep it now: it cannot be shown again.", err=True)


def _public(key: "ApiKey") -> dict[str, object]:
    hidden = ("secret_hash", "previous_hash")
    shown = {name: value for name, value in msgspec.structs.asdict(key).items() if name not in hidden}
    return {**shown, "state": state(key)}


def _name(name: str) -> str:
    if not 1 <= len(name.strip()) <= 100:
        raise ConfigurationError("a key's name has 1 to 100 characters")
    return name.strip()


def _id(text: str) -> str:
    """The id, also out of a whole key that was pasted."""
    return text.removeprefix("ntf_").partition("_")[0]


def _duration(option: str, text: str, least: int = 1) -> timedelta:
    if text == "0s" and not least:
        return timedelta()
    try:
        return timedelta(seconds=seconds(text))
    except ValueError as error:
        raise ConfigurationError(f"{option} {text!r}: {error}") from None
