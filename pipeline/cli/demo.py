"""``pipeline demo`` and ``pipeline up``: the whole line on this machine."""

import asyncio
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.embedded.line import Line, Plan, open_line
from pipeline.embedded.servers import free_port
from pipeline.embedded.stack import Stack

SIMULATORS = ("--error-rate", "0.03", "--delay-ms", "20", "--seed", "7")


def demo(
    seed: Annotated[int, typer.Option(help="Seed of the events; the same seed sends the same events.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Start everything here, send a few thousand events, and show that each is accounted for.

    Exit code 0 only if every event × channel has exactly one outcome or waits as the topics say.
    """
    from pipeline.demo.report import show
    from pipeline.demo.run import SYNTHETIC_USERS, keep, last_mail, load_users, run_demo

    console = Console(stderr=as_json)
    with _line(console, Plan(simulators=SIMULATORS, gateway=True)) as line:
        users = asyncio.run(load_users(line.settings, SYNTHETIC_USERS, own_tokens=True))
        line.await_ready()
        with _bars(console) as bars:
            results = run_demo(line, users, seed, bars)
        keep(results)
        mail = last_mail(line)
    if as_json:
        from pipeline.demo.run import RESULTS

        typer.echo(RESULTS.read_text())
    show(console, results, mail)
    if not (results.balance.ok and results.balance.quiet):
        raise typer.Exit(1)


def up(
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Also start Prometheus, which has to be installed, with the alerts.")
    ] = False,
) -> None:
    """Start the demo's stack and leave it running until Ctrl-C."""
    from pipeline.demo.run import SYNTHETIC_USERS, load_users

    console = Console()
    plan = Plan(simulators=SIMULATORS, gateway=True, store=True, realtime=True, environment=_live())
    with _line(console, plan) as line:
        users = asyncio.run(load_users(line.settings, SYNTHETIC_USERS, own_tokens=True))
        line.await_ready()
        typer.echo(_addresses(line, users[0]))
        if prometheus:
            from pipeline.embedded.prometheus import open_prometheus

            typer.echo(f"Prometheus: {open_prometheus(line.stack.supervisor, line.ports)}")
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        while not stopped.wait(1.0):
            for child in line.services.values():
                if not child.running:
                    console.print(
                        f"[red]{child.name} ended[/red]; it wrote last:\n{child.log_tail()}\nstarting it again"
                    )
                    child.start()
        console.print("stopping")


def _live() -> dict[str, str]:
    """What the live channel needs: a port, a secret that signs users' tokens, and here its example page too."""
    port = free_port()
    return {
        "PIPELINE_GATEWAY__JWT__HS256_SECRET": secrets.token_urlsafe(48),
        "PIPELINE_GATEWAY__CORS_ORIGINS": f"http://127.0.0.1:{port}",
        "PIPELINE_REALTIME__PORT": str(port),
        "PIPELINE_REALTIME__DEVELOPMENT": "true",
    }


def _inbox_address(line: Line, user: str) -> str:
    import jwt

    settings = line.settings
    claims = {"sub": user, "aud": settings.gateway.jwt.audience, "exp": int(time.time()) + 86_400}
    token = jwt.encode(claims, settings.gateway.jwt.hs256_secret.get_secret_value(), "HS256")
    return f"http://127.0.0.1:{settings.realtime.port}/#gateway={settings.http.public_url}&token={token}"


@contextmanager
def _line(console: Console, plan: Plan) -> Iterator[Line]:
    """A running line; Ctrl-C and SIGTERM take everything down with them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    console.print("starting Kafka, PostgreSQL and Valkey")
    with Stack.open() as stack:
        console.print(f"Kafka: {stack.broker.note}")
        yield open_line(stack, plan, say=console.print)


def _interrupt(number: int, _frame: object) -> None:
    """Unwind, so that everything is taken down in order. Set for SIGINT too: a script's `&` starts us ignoring it."""
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def _bars(console: Console) -> Iterator["Bars"]:
    columns = (TextColumn("{task.description:>24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield Bars(progress)


class Bars:
    """Events sent, and notifications settled of those accepted so far."""

    def __init__(self, progress: Progress) -> None:
        from pipeline.demo.run import BURST_EVENTS, PACED_EVENTS

        self._progress = progress
        self._events = progress.add_task("events sent", total=PACED_EVENTS + BURST_EVENTS)
        self._settled = progress.add_task("notifications settled", total=None)

    def __call__(self, sent: int, accepted: int, settled: int) -> None:
        self._progress.update(self._events, completed=sent)
        self._progress.update(self._settled, completed=settled, total=max(accepted, settled, 1))


def _addresses(line: Line, user: str) -> str:
    exports = "\n".join(f"  export {name}={value!r}" for name, value in sorted(line.environment.items()))
    gateway = line.environment["PIPELINE_HTTP__PUBLIC_URL"]
    ports = "\n".join(f"  {name}: http://127.0.0.1:{port}/metrics" for name, port in line.ports.items())
    return f"""
Everything runs; Ctrl-C ends it. In another terminal:
{exports}

gateway: {gateway} (its interface: {gateway}/docs)

health and metrics (also /readyz):
{ports}

the inbox of {user} in a browser (send the event below and watch):
  {_inbox_address(line, user)}

Three commands to try:
  echo '{{"event_id":"evt_1","event_type":"order.shipped","recipient_id":"{user}","channels":["push","email","in_app"],"priority":"high","data":{{"order_id":"ORD-456","tracking_url":"https://example.com/track/ORD-456"}},"idempotency_key":"order_shipped_ORD-456","created_at":"'$(date -u +%FT%TZ)'"}}' | .venv/bin/pipeline produce -
  .venv/bin/pipeline explain evt_1
  .venv/bin/pipeline accounts
"""
