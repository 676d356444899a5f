"""``pipeline topics``: topics as code."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.config import Settings
from pipeline.kafka.topology_files import load_topics
from pipeline.kafka.topology_plan import APPLICABLE, Action, Change

WIDTH = 160
"""Of a table that goes to a file or a pipe."""

app = typer.Typer(help="Topics as code: compare the cluster with topics/*.yaml, and apply them.", no_args_is_help=True)

Partitions = Annotated[
    int | None, typer.Option(min=1, help="Partitions of every topic, instead of the files' (small clusters).")
]
ReplicationFactor = Annotated[
    int | None,
    typer.Option(min=1, help="Replicas of every topic, instead of the files'; min.insync.replicas follows."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print a list of {action, topic, what, before, after, note}.")]


@app.command()
def plan(
    partitions: Partitions = None,
    replication_factor: ReplicationFactor = None,
    detailed_exitcode: Annotated[bool, typer.Option(help="Exit with 2 when `apply` would change something.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what `apply` would change, and change nothing.

    Exit codes, as Terraform's: 0, also when there are differences; with --detailed-exitcode 2 when there are
    differences that `apply` would carry out. 1: something stands in the way (fewer partitions than there are), or an
    error.
    """
    from pipeline.kafka.topology import plan_topics

    changes = plan_topics(Settings.load().kafka, partitions=partitions, replication_factor=replication_factor)
    _show(changes, as_json, "would be changed")
    actions = {change.action for change in changes}
    if Action.REFUSE in actions:
        raise typer.Exit(1)
    if detailed_exitcode and actions & APPLICABLE:
        raise typer.Exit(2)


@app.command()
def apply(partitions: Partitions = None, replication_factor: ReplicationFactor = None, as_json: AsJson = False) -> None:
    """Create topics, add partitions, change settings. Run twice, the second time changes nothing.

    Never deletes a topic, takes partitions away or moves replicas: fewer partitions are refused before anything is
    done (exit code 1), topics of ours that no file names and other replication factors are only told.
    """
    from pipeline.kafka.topology import apply_topics

    changes = apply_topics(Settings.load().kafka, partitions=partitions, replication_factor=replication_factor)
    _show(changes, as_json, "changed")


def _show(changes: list[Change], as_json: bool, done: str) -> None:
    if as_json:
        typer.echo(json.dumps([change._asdict() for change in changes]))
        return
    if changes:
        _table(changes)
    count = sum(change.action in APPLICABLE for change in changes)
    typer.echo(f"{count} differences {done}" if count else "the topics are as their files say: nothing to change")


def _table(changes: list[Change]) -> None:
    """One line a change, and what there is to know about a kind of change once below."""
    from rich.console import Console
    from rich.table import Table

    table = Table("action", "topic", "what", "before", "after", box=None)
    for change in changes:
        table.add_row(*change[:5])
    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    console.print(table)
    for action, note in dict.fromkeys((change.action, change.note) for change in changes if change.note):
        console.print(f"{action}: {note}", soft_wrap=True)


@app.command()
def docs(file: Annotated[Path, typer.Argument(help="The page, docs/topics.md.")]) -> None:
    """Make the tables of the topics' page anew."""
    from pipeline.events.schemas import SchemaBook
    from pipeline.kafka.topics_page import render

    file.write_text(render(file.read_text(), load_topics(), SchemaBook.from_lock().schema_of))
