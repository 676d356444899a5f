"""``pipeline accounts``: whether every accepted notification is accounted for."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline.accounts.balance import MAX_OFFENDERS, Balance
from pipeline.config import Settings


def accounts(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Take it again and again, as metrics on `http.port`, until stopped.")
    ] = False,
    every: Annotated[float, typer.Option(min=1, help="With --serve: seconds between two balances.")] = 900.0,
) -> None:
    """Add up every decision and every outcome on the topics: accepted = terminal + waiting + in flight.

    Exit code 0 only if that holds for every notification.
    """
    if serve:
        from pipeline.accounts.service import accounts_service
        from pipeline.runtime import run_service

        run_service("accounts", Settings.load(), accounts_service(every))
        return
    from pipeline.accounts.take import take_balance

    balance = take_balance(Settings.load())
    if as_json:
        typer.echo(balance.to_json())
    else:
        show(balance, Console(highlight=False, soft_wrap=True))
    if not balance.ok:
        raise typer.Exit(1)


def show(balance: Balance, console: Console) -> None:
    """The balance for people: a table, the equation, and what is wrong."""
    console.print(_table(balance))
    console.print(equation(balance), style="bold green" if balance.ok else "bold red")
    for line in _remarks(balance):
        console.print(line, style="dim")
    for offender in balance.offenders:
        console.print(f"{offender.notification_id}  {offender.problem}: {offender.detail}", style="red")
    if len(balance.offenders) == MAX_OFFENDERS:
        console.print(f"(only the first {MAX_OFFENDERS} are listed)", style="red")


def equation(balance: Balance) -> str:
    """``accepted 10 = terminal 7 + waiting 2 + in flight 1``, and the verdict."""
    b = balance
    line = f"accepted {b.accepted} = terminal {b.terminal} + waiting {b.waiting} + in flight {b.in_flight}"
    lost = f" + unaccounted {b.unaccounted}" if b.unaccounted else ""
    return f"{line}{lost}: {'balanced' if b.ok else 'NOT BALANCED'}"


def _table(balance: Balance) -> Table:
    table = Table("channel", "outcome", "reason", box=None, header_style="bold", pad_edge=False)
    table.add_column("count", justify="right")
    for row in (*balance.outcomes, *balance.feedback):
        table.add_row(row.channel or "–", row.status, row.reason, str(row.count))
    return table


def _remarks(balance: Balance) -> list[str]:
    b = balance
    lag = sum(b.lag.values())
    wrong = {
        "with conflicting outcomes": b.conflicting,
        "sent again unflagged": b.duplicates_unflagged,
        "with an outcome but no decision": b.unknown_units,
        "records that cannot be read": b.unreadable,
    }
    harmless = {
        "sent again, flagged as in doubt": b.duplicates_flagged,
        "status records written twice": b.repeated,
        "older than the topics keep": b.outlived,
    }
    decided = f"{b.requests} requests, {b.duplicates} duplicates, {b.cancels} cancels"
    lines = [f"events: {decided}, {b.rejected} rejected (ingest dead-letter topic), {b.not_routed} not routed yet"]
    lines += [f"{name}: {count}" for name, count in {**wrong, **harmless}.items() if count]
    return [*lines, f"consumer lag: {lag} records" if lag else "consumer lag: none, nothing is on its way"]
