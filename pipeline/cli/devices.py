"""``pipeline devices …``."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pipeline.config import Settings

if TYPE_CHECKING:
    from pipeline.devices.validation import Report, Verdict
    from pipeline.storage.devices import Listed

app = typer.Typer(help="Devices that take push messages.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@app.callback()
def devices() -> None:
    """Devices that take push messages."""


@app.command("list")
def list_devices(
    user: Annotated[str, typer.Argument(help="The user's id.", show_default=False)], as_json: Json = False
) -> None:
    """Show a user's devices; never their tokens."""
    found = asyncio.run(_list(user, Settings.load()))
    if as_json:
        typer.echo(msgspec.json.encode({"user_id": user, "devices": found}))
        return
    for device in found:
        place = " ".join(filter(None, [device.app, device.environment]))
        typer.echo(
            f"{device.device_id}  {device.platform}{f' ({place})' if place else ''}  "
            f"token since {device.registered_at:%Y-%m-%d}, last seen {device.last_seen_at:%Y-%m-%d %H:%M}"
        )
    if not found:
        typer.echo(f"{user} has no device")


@app.command()
def validate(
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be pruned.")] = False,
    rate: Annotated[
        int | None, typer.Option(min=1, help="Devices a second that FCM is asked about; else devices.validation_rate.")
    ] = None,
) -> None:
    """Ask FCM about every device that it serves (nothing is sent); prune what is dead, or was not seen for too long.

    Meant to run once a week. Exit code 0 only if every device could be judged.
    """
    report = asyncio.run(_validate(Settings.load(), rate=rate, dry_run=dry_run))
    counts = {verdict.value: report.total[verdict] for verdict in _verdicts()}
    if as_json:
        by_platform = {name: dict(verdicts) for name, verdicts in sorted(report.verdicts.items())}
        totals = {"checked": report.total.total(), **counts, "pruned": report.pruned, "dry_run": dry_run}
        typer.echo(msgspec.json.encode({**totals, "refused": report.refused, "by_platform": by_platform}))
    else:
        said = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())
        typer.echo(f"{report.total.total()} devices: {said}; {report.pruned} pruned")
    _fail_if_incomplete(report)


def _fail_if_incomplete(report: "Report") -> None:
    from pipeline.devices.validation import Verdict

    if report.refused:
        typer.echo(
            f"error: FCM refuses our account ({report.refused}): mend providers.fcm, see `pipeline doctor`", err=True
        )
    elif unknown := report.total[Verdict.UNKNOWN]:
        typer.echo(f"error: FCM gave no verdict on {unknown} devices: run it again later, or slower (--rate)", err=True)
    else:
        return
    raise typer.Exit(1)


def _verdicts() -> "list[Verdict]":
    from pipeline.devices.validation import Verdict

    return list(Verdict)


async def _list(user: str, settings: Settings) -> "Listed":
    from pipeline.storage.devices import DeviceRegistry
    from pipeline.storage.postgres import open_pool

    async def nobody_caches(_: object) -> None: ...

    async with await open_pool(settings.postgres) as pool:
        return await DeviceRegistry(pool, nobody_caches).list(user)


async def _validate(settings: Settings, *, rate: int | None, dry_run: bool) -> "Report":
    import time
    from datetime import UTC, datetime, timedelta

    from pipeline.channels.push_routes import is_for_fcm
    from pipeline.devices.validation import Pace, Validation
    from pipeline.providers.fcm import Fcm
    from pipeline.storage.devices import DeviceRegistry
    from pipeline.storage.postgres import open_pool
    from pipeline.storage.redis import open_redis
    from pipeline.users.directory import UserDirectory

    account = settings.providers.fcm
    fcm = Fcm(account, timeout=settings.delivery.provider_timeout) if account.service_account else None
    async with await open_pool(settings.postgres) as pool, open_redis(settings.redis) as redis:
        directory = UserDirectory(pool, redis, ttl=settings.router.snapshot_ttl)
        registry = DeviceRegistry(pool, directory.changed)
        validation = Validation(
            registry,
            fcm.validate if fcm else None,
            lambda registered: is_for_fcm(registered.device),
            pace=Pace(rate or settings.devices.validation_rate, time.monotonic, asyncio.sleep),
            now=datetime.now(UTC),
            stale_after=timedelta(days=settings.devices.stale_after_days),
            dry_run=dry_run,
        )
        if fcm:
            await fcm.start()
        try:
            return await validation.run(registry.everyone())
        finally:
            if fcm:
                await fcm.close()
