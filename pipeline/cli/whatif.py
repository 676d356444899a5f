"""``pipeline what-if``: recorded traffic under another policy."""

import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.status import parse_duration
from pipeline.config import Settings
from pipeline.errors import ConfigurationError


def what_if(
    policy: Annotated[Path, typer.Option(help="The catalogue to try.", show_default=False)],
    since: Annotated[
        str | None,
        typer.Option("--from", help="ISO 8601 (UTC, unless it says else) or so long ago: 90m, 2h, 7d. Default: all."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="As --from. Default: now.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting to try with it: router.unknown_types=suppress.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="The catalogue to compare with; default: that of the settings.")
    ] = None,
    warm_up: Annotated[
        str | None,
        typer.Option(help="How long before --from to begin, for the counters; default: as caps look back, at most 1d."),
    ] = None,
    examples: Annotated[int, typer.Option(min=0, help="Examples of each kind of difference.")] = 3,
    most: Annotated[int, typer.Option(min=1, help="Kinds of difference to show; --json has them all.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Decide recorded ingest traffic under another catalogue, and say what would differ. Sends and writes nothing.

    Both sides decide afresh: each event at the time of its record, for its user as they are now.
    """
    import asyncio

    import msgspec

    from pipeline.catalogue.loader import load_catalogue
    from pipeline.whatif.compare import Side
    from pipeline.whatif.overrides import overridden
    from pipeline.whatif.report import tell
    from pipeline.whatif.run import Span
    from pipeline.whatif.run import what_if as compare

    loaded = Settings.load()
    now = time.time_ns() // 1_000_000
    span = Span(
        None if since is None else parse_time(since, now),
        now if until is None else parse_time(until, now),
        None if warm_up is None else parse_duration(warm_up) * 1000,
    )
    if span.since is not None and span.since >= span.until:
        raise ConfigurationError(f"--from {since} is not before --to {until or 'now'}")
    present = Side(load_catalogue(against or loaded.catalogue.path), loaded.router)
    candidate = Side(load_catalogue(policy), overridden(loaded.router, settings or ()))
    report = asyncio.run(compare(loaded, present, candidate, span, examples=examples, progress=_Progress()))
    typer.echo(msgspec.json.encode(report) if as_json else "\n".join(tell(report, most)))


def parse_time(text: str, now: int) -> int:
    """``2026-01-31T08:00``, or ``2h`` ago, in ms.

    Raises:
        ConfigurationError: it is neither.
    """
    if re.fullmatch(r"\d+[smhd]", text.strip()):
        return now - parse_duration(text) * 1000
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is no time: write 2026-01-31, 2026-01-31T08:00 or 2026-01-31T08:00+01:00, or 2h for two hours ago"
        ) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


class _Progress:
    """A line on stderr, where that is a terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._events, self._told = 0, time.monotonic()

    def __call__(self, events: int) -> None:
        self._events += events
        if self._shown and time.monotonic() - self._told > 1:
            self._told = time.monotonic()
            typer.echo(f"{self._events:,} events", err=True)
