"""What the demo prints when it is over."""

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pipeline.accounts.balance import Balance
from pipeline.demo.run import Mail, Results


def show(console: Console, results: Results, mail: Mail) -> None:
    """Outcomes, latencies, one mail, and last the balance."""
    console.print(_outcomes(results.balance))
    console.print(_latencies(results))
    console.print(
        f"throughput of the burst: {results.throughput:,.0f} notifications/s on this machine; "
        f"the providers accepted {sum(results.received.values()):,}: "
        + ", ".join(f"{channel} {count:,}" for channel, count in sorted(results.received.items()))
        + f"; {results.released:,} had waited for their time"
    )
    console.print(_mail(mail))
    console.print(balance_lines(results.balance))


def balance_lines(balance: Balance) -> Group:
    """The equation, and what does not go into it."""
    equation = Text(
        f"accepted {balance.accepted:,} = terminal {balance.terminal:,} + waiting {balance.waiting:,} "
        f"+ in flight {balance.in_flight:,}, unaccounted {balance.unaccounted:,}",
        style="bold green" if balance.ok and balance.quiet else "bold red",
    )
    apart = Text(
        f"from {balance.requests:,} events; apart: {balance.duplicates:,} duplicates, {balance.cancels:,} cancels, "
        f"{balance.rejected:,} unreadable records in the dead-letter topic; "
        f"sent twice: {balance.duplicates_unflagged:,} unflagged, {balance.duplicates_flagged:,} flagged in doubt"
    )
    return Group(apart, equation)


def _outcomes(balance: Balance) -> Table:
    table = Table(title="outcomes", title_justify="left")
    for column in ("channel", "status", "reason"):
        table.add_column(column)
    table.add_column("notifications", justify="right")
    for outcome in balance.outcomes:
        table.add_row(outcome.channel or "–", outcome.status, outcome.reason, f"{outcome.count:,}")
    table.add_section()
    for receipt in balance.feedback:
        table.add_row(receipt.channel, receipt.status, "told by the provider", f"{receipt.count:,}")
    return table


def _latencies(results: Results) -> Table:
    table = Table(title="from the event to the provider's answer, in ms (at a steady pace)", title_justify="left")
    table.add_column("channel")
    for column in ("sent", "p50", "p90", "p99", "max"):
        table.add_column(column, justify="right")
    for channel, p in results.latencies.items():
        table.add_row(channel, f"{p.count:,}", f"{p.p50:,.0f}", f"{p.p90:,.0f}", f"{p.p99:,.0f}", f"{p.max:,.0f}")
    return table


def _mail(mail: Mail) -> Panel:
    headers = ("From", "To", "Subject", "Message-ID", "X-Notification-ID", "List-Unsubscribe")
    lines = [f"{name}: {mail.headers[name]}" for name in headers if name in mail.headers]
    return Panel(Text("\n".join([*lines, "", mail.text.strip()])), title="one mail, as it arrived (its text part)")
