"""``pipeline plan-capacity``: how much of everything a load needs, and why."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from pipeline.capacity.figures import Figure
from pipeline.capacity.plan import Line, Plan

FIGURES = Path("build/bench.json")
WIDTH = 160
"""Of a table that goes to a file or a pipe."""


def plan_capacity(
    per_day: Annotated[str, typer.Option(help="Events a day: 250k, 10M.")],
    peak: Annotated[str, typer.Option(help="How many times the day's mean the busiest minutes have.")] = "5x",
    channels: Annotated[
        str,
        typer.Option(help="Notifications of each channel that an event makes in the mean: 0.5 is every other event."),
    ] = "push=0.5,email=0.3,sms=0.05,in_app=0.15",
    priorities: Annotated[
        str, typer.Option(help="Share of each priority, 1 together.")
    ] = "critical=0.05,high=0.25,normal=0.5,low=0.2",
    users: Annotated[str, typer.Option(help="People who get any; default: as many as events a day.")] = "",
    provider_seconds: Annotated[float, typer.Option(min=0.001, help="How long a provider's answer takes.")] = 0.2,
    keep_days: Annotated[float, typer.Option(min=1, help="How long PostgreSQL keeps the history.")] = 90,
    figures: Annotated[Path, typer.Option(help="What `make bench` measured.")] = FIGURES,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object: {lines, partitions, replicas, figures}.")
    ] = False,
) -> None:
    """Partitions, replicas, brokers, Redis and PostgreSQL for a load, from what was measured, with the reasoning.

    Figures come from `make bench` on this machine, else from the reference that ships with the project; each is marked.
    """
    from pipeline.capacity.figures import read_figures
    from pipeline.capacity.load import Load, read_channels, read_number, read_peak, read_priorities
    from pipeline.capacity.plan import plan_capacity as plan
    from pipeline.kafka.topology_files import load_topics

    load = Load(
        per_day=read_number("--per-day", per_day),
        peak=read_peak(peak),
        channels=read_channels(channels),
        priorities=read_priorities(priorities),
        users=read_number("--users", users) if users else None,
        provider_seconds=provider_seconds,
        keep_days=keep_days,
    )
    made = plan(load, read_figures(figures), load_topics())
    if as_json:
        typer.echo(msgspec.json.encode(made))
    else:
        _show(made)


def _show(plan: Plan) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    table = Table("what", "how much", "because", box=None)
    for line in plan.lines:
        table.add_row(line.what, _amount(line), line.because)
    console.print(table)
    console.print("\nIt rests on:", *(f"  {_figure(figure)}" for figure in plan.figures), sep="\n")
    if not all(figure.measured for figure in plan.figures):
        console.print(
            "\nA shipped reference is from another machine: run `make bench` on one like yours, and plan again."
        )


def _amount(line: Line) -> str:
    amount = f"{line.amount:,.0f}" if line.amount >= 10 or line.amount == int(line.amount) else f"{line.amount:,.2f}"
    return f"{amount} {line.unit}".rstrip()


def _figure(figure: Figure) -> str:
    return f"{figure.name} {figure.value:,.4g} {figure.unit} ({figure.source})"
