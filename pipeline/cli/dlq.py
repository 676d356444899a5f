"""``pipeline dlq``: look at dead letters, replay them, drop them."""

import asyncio
import contextlib
import getpass
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from pipeline.cli.status import parse_duration
from pipeline.config import Settings
from pipeline.dlq.handling import Mode
from pipeline.dlq.selection import Selection, topic_named
from pipeline.errors import ConfigurationError, PipelineError
from pipeline.events.canonical import format_time
from pipeline.kafka.names import DLQ_TOPICS

if TYPE_CHECKING:
    from pipeline.dlq.commands import Order
    from pipeline.dlq.listing import Group
    from pipeline.dlq.run import Report

app = typer.Typer(help="Dead letters: what nobody could handle, and waits for a person.", no_args_is_help=True)

WIDE = 300
"""Columns of a table that goes into a file or another program: nothing is folded."""

Topics = Annotated[
    list[str] | None,
    typer.Option("--topic", help="A dead-letter topic, or `ingest`, `push`, `email`, `sms`, `in-app`. Repeatable."),
]
Partition = Annotated[int | None, typer.Option(min=0, help="Only this partition of the topic.")]
Offsets = Annotated[list[int] | None, typer.Option("--offset", min=0, help="Only this offset. Repeatable.")]
Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only this reason. Repeatable.")]
Event = Annotated[str | None, typer.Option(help="Only this event id.")]
Notification = Annotated[str | None, typer.Option(help="Only this notification id.")]
Recipient = Annotated[str | None, typer.Option(help="Only this recipient id.")]
Since = Annotated[str | None, typer.Option(help="Dead-lettered from then on: 30m, 2h, 7d ago, or an RFC 3339 time.")]
Until = Annotated[str | None, typer.Option(help="Dead-lettered before then; as --since.")]
All = Annotated[bool, typer.Option("--all", help="All of the topics; without any other condition it must be said.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@app.command("list")
def list_(topic: Topics = None, since: Since = None, until: Until = None, as_json: AsJson = False) -> None:
    """Count the open dead letters by topic and reason, with the latest one's error."""
    from pipeline.dlq.commands import open_desk
    from pipeline.dlq.listing import group

    selection = Selection(topics=_topics(topic), since=_instant(since), until=_instant(until))
    groups = group(letter for letter, _ in open_desk(Settings.load()).chosen(selection))
    if as_json:
        typer.echo(msgspec.json.encode([_told(g) for g in groups]))
    else:
        _show_groups(groups)


@app.command()
def show(
    topic: Topics = None,
    partition: Partition = None,
    offset: Offsets = None,
    reason: Reasons = None,
    event: Event = None,
    notification: Notification = None,
    recipient: Recipient = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, at most.")] = 20,
    handled: Annotated[bool, typer.Option("--handled", help="Those that were replayed or dropped too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show dead letters decoded: the record, why and how often it failed, what became of it. With message content!

    A dead letter that an offset names is shown whether or not it was handled.
    """
    from pipeline.cli.dlq_show import to_text
    from pipeline.dlq.commands import open_desk
    from pipeline.dlq.looking import look

    selection = _selection(topic, partition, offset, reason, event, notification, recipient, since, until)
    documents = look(open_desk(Settings.load()), selection, limit, all_of_them=handled or bool(offset))
    if not documents:
        raise PipelineError("no dead letter fits: `pipeline dlq list` shows what there is")
    for document in documents:
        typer.echo(msgspec.json.encode(document) if as_json else to_text(document))
    if len(documents) == limit:
        typer.echo(f"(there may be more: only {limit} are shown, see --limit)", err=True)


@app.command()
def replay(
    topic: Topics = None,
    partition: Partition = None,
    offset: Offsets = None,
    reason: Reasons = None,
    event: Event = None,
    notification: Notification = None,
    recipient: Recipient = None,
    since: Since = None,
    until: Until = None,
    everything: All = False,
    decision: Annotated[
        Mode,
        typer.Option(
            help="`fresh`: the router decides again, by preferences, caps and catalogue as they are now. "
            "`same`: straight to the worker, as it was decided."
        ),
    ] = Mode.FRESH,
    dry_run: DryRun = False,
    rate: Annotated[float, typer.Option(min=0, help="Records a second at most; 0: no limit.")] = 0,
    who: Annotated[str | None, typer.Option(help="For the audit trail; default: your login name.")] = None,
    why: Annotated[str, typer.Option(help="For the audit trail.")] = "",
    as_json: AsJson = False,
) -> None:
    """Send dead letters back, once what was wrong is mended. Each is sent once, however often this is run.

    Exit code 1 if any had to stay.
    """
    from pipeline.dlq.commands import replay_order

    selection = _selection(topic, partition, offset, reason, event, notification, recipient, since, until)
    _refuse_everything(selection, everything)
    order = replay_order(selection, decision, rate, who or getpass.getuser(), why)
    _carry_out(order, "replayed", dry_run=dry_run, as_json=as_json)


@app.command()
def drop(
    who: Annotated[str, typer.Option(help="Who decides this; for the audit trail.")],
    why: Annotated[str, typer.Option(help="Why; for the audit trail.")],
    topic: Topics = None,
    partition: Partition = None,
    offset: Offsets = None,
    reason: Reasons = None,
    event: Event = None,
    notification: Notification = None,
    recipient: Recipient = None,
    since: Since = None,
    until: Until = None,
    everything: All = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give dead letters up: their notifications end as `failed`, reason `dropped`. Their records stay in the topic."""
    from pipeline.dlq.commands import drop_order

    if not who.strip() or not why.strip():
        raise ConfigurationError("--who and --why must say something: they are all that is left to explain it by")
    selection = _selection(topic, partition, offset, reason, event, notification, recipient, since, until)
    _refuse_everything(selection, everything)
    _carry_out(drop_order(selection, who, why), "dropped", dry_run=dry_run, as_json=as_json)


def _carry_out(order: "Order", word: str, *, dry_run: bool, as_json: bool) -> None:
    from pipeline.dlq.commands import carry_out, rehearse

    settings = Settings.load()
    report = rehearse(settings, order) if dry_run else asyncio.run(carry_out(settings, order, _progress_bar))
    if as_json:
        typer.echo(msgspec.json.encode({**report.to_document(), "dry_run": dry_run}))
    else:
        typer.echo("\n".join(_tell(report, f"would be {word}" if dry_run else word)))
    if report.staying:
        raise typer.Exit(1)


def _tell(report: "Report", word: str) -> Iterator[str]:
    yield f"{word} {report.done} of {report.selected} dead letters"
    if report.copies:
        yield f"{report.copies} are copies of one that was handled: nothing was sent for them"
    if report.settled:
        yield f"{report.settled} had an outcome already: nothing was sent for them"
    for why, count in report.stay.most_common():
        yield f"{count} stay: the record {why}"


def _selection(
    topic: list[str] | None,
    partition: int | None,
    offset: list[int] | None,
    reason: list[str] | None,
    event: str | None,
    notification: str | None,
    recipient: str | None,
    since: str | None,
    until: str | None,
) -> Selection:
    return Selection(
        topics=_topics(topic),
        partition=partition,
        offsets=frozenset(offset or ()),
        reasons=frozenset(reason or ()),
        event_id=event,
        notification_id=notification,
        recipient_id=recipient,
        since=_instant(since),
        until=_instant(until),
    )


def _refuse_everything(selection: Selection, everything: bool) -> None:
    if not selection.narrow and not everything:
        raise ConfigurationError("say which dead letters: --reason, --event, --since, … or --all of the topics")


def _topics(names: list[str] | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(topic_named(name) for name in names)) if names else DLQ_TOPICS


def _instant(text: str | None) -> int | None:
    """A time, or how long ago, in ms since the epoch.

    Raises:
        ConfigurationError: it is neither.
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return int((time.time() - parse_duration(text)) * 1000)
    if at.tzinfo is None:
        raise ConfigurationError(f"{text!r} has no time zone: write it like 2026-02-23T10:00:00Z")
    return int(at.timestamp() * 1000)


def _told(group: "Group") -> dict[str, object]:
    told: dict[str, object] = msgspec.to_builtins(group)
    return {**told, "oldest": format_time(group.oldest), "newest": format_time(group.newest)}


def _show_groups(groups: "list[Group]") -> None:
    from rich.console import Console
    from rich.table import Table

    if not groups:
        typer.echo("no open dead letters")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("topic", "reason", "open", "again", "oldest", "newest", "latest error"):
        table.add_column(column, justify="right" if column in ("open", "again") else "left")
    for g in groups:
        error = f"{g.example.partition}/{g.example.offset}: {g.example.error[:100]}"
        cells = (str(g.count), str(g.again), format_time(g.oldest), format_time(g.newest), error)
        table.add_row(g.topic, g.reason or "–", *cells)
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDE).print(table)


@contextlib.contextmanager
def _progress_bar(selected: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("dead letters", total=selected)
        yield lambda more: progress.advance(task, more)
