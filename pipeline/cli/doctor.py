"""``pipeline doctor``: is everything there that the pipeline needs, and is anything stuck?"""

import asyncio
from typing import Annotated

import msgspec
import typer

from pipeline.config import Settings
from pipeline.errors import ConfigurationError

_COLOURS = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Look at everything that the pipeline needs, and say what to do.

    Settings and catalogue, brokers, topics against their files, lag and dead letters, schema registry, Redis, PostgreSQL,
    in-app subscribers, credentials at providers, clocks. Exit code 0 unless something keeps the pipeline from working.
    """
    from pipeline.observability.checks import Level, examine, refused_settings

    try:
        findings = asyncio.run(examine(Settings.load()))
    except ConfigurationError as error:
        findings = refused_settings(error)
    ok = all(finding.level is not Level.FAIL for finding in findings)
    if as_json:
        report = [finding._asdict() for finding in findings]
        typer.echo(msgspec.json.encode({"ok": ok, "findings": report}))
    else:
        for finding in findings:
            word = typer.style(f"{finding.level:<5}", fg=_COLOURS[finding.level])
            todo = f" → {finding.remedy}" if finding.remedy else ""
            typer.echo(f"{word} {finding.name}: {finding.detail}{todo}")
    if not ok:
        raise typer.Exit(1)
