"""``python -m tests.monitoring``: the whole line under traffic, scraped by a real Prometheus.

Asks every query of every dashboard, and keeps the spans. Exit code 0 only if each query has data, but for what shows
only what rarely happens, and each event that came over HTTP is one trace from the request to a provider.
"""

import argparse
import asyncio
import json
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

from pipeline.demo.run import load_users
from pipeline.demo.traffic import produce_burst, produce_paced
from pipeline.embedded.line import Line, Plan, open_line
from pipeline.embedded.prometheus import open_prometheus
from pipeline.embedded.servers import free_port
from pipeline.embedded.stack import Stack
from pipeline.gateway.auth.keys import SECRET_BYTES, format_key, hash_secret
from pipeline.observability.boards.files import DASHBOARDS
from pipeline.observability.boards.panels import RATE, Dashboard, Panel
from pipeline.storage.api_keys import ApiKeys, NewApiKey
from pipeline.storage.postgres import open_pool
from pipeline.testing.traffic import Traffic
from tests.monitoring.traces import Collector

SIMULATORS = ("--error-rate", "0.03", "--delay-ms", "20", "--seed", "7")
EVERY = 2
"""Seconds between two scrapes."""

OVER_HTTP = 20


class Asked(NamedTuple):
    """A query of a panel, and how many series with a number it found."""

    board: Dashboard
    panel: Panel
    expression: str
    found: int


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.monitoring", description=__doc__)
    parser.add_argument("--seconds", type=float, default=40.0, help="how long events are produced")
    parser.add_argument("--rate", type=float, default=100.0, help="events a second")
    options = parser.parse_args()
    port = free_port()
    with Collector() as collector, Stack.open() as stack:
        environment = {"PIPELINE_GATEWAY__PORT": str(port), "PIPELINE_TRACING__ENDPOINT": collector.endpoint}
        plan = Plan(simulators=SIMULATORS, environment=environment)
        line = open_line(stack, plan, say=_say)
        line.start("gateway", "gateway")
        line.start("store", "store")
        line.start("accounts", "accounts", "--serve", "--every", "10")
        users = asyncio.run(load_users(line.settings, 200))
        line.await_ready(120)
        url = open_prometheus(stack.supervisor, line.ports, every=EVERY)
        _say(f"Prometheus: {url}; {options.rate:g} events a second for {options.seconds:g} s")
        asyncio.run(_traffic(line, users, options.rate, options.seconds, port))
        time.sleep(4 * EVERY)
        asked = list(_ask_all(url))
        firing = _query(url, 'ALERTS{alertstate="firing"}')
    return max(_report(asked, firing), _report_traces(collector))


async def _traffic(line: Line, users: list[str], rate: float, seconds: float, port: int) -> None:
    kafka, traffic = line.settings.kafka, Traffic(users, 7)
    key = await _key(line)
    await produce_burst(kafka, traffic, 500, lambda _: None)
    web = asyncio.create_task(asyncio.to_thread(_over_http, port, key, users, seconds))
    await produce_paced(kafka, traffic, int(rate * seconds), rate, lambda _: None)
    await web


async def _key(line: Line) -> str:
    secret = b"x" * SECRET_BYTES
    new = NewApiKey(
        key_id="0123456789ab", name="shop", scopes=["ingest"], secret_hash=hash_secret(secret), rate=1_000, burst=1_000
    )
    async with await open_pool(line.settings.postgres) as pool:
        return format_key((await ApiKeys(pool).add(new)).key_id, secret)


def _over_http(port: int, key: str, users: list[str], seconds: float) -> None:
    for number in range(OVER_HTTP):
        body = {
            "event_type": "order.shipped",
            "recipient_id": users[number],
            "priority": "critical",
            "data": {"order_id": str(number)},
            "idempotency_key": f"web-{number}",
        }
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/events",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            assert answer.status == 202, answer.read()
        time.sleep(seconds / OVER_HTTP)


def _ask_all(url: str) -> Iterator[Asked]:
    for board in DASHBOARDS:
        values = {name: value for name, _, value in board.variables}
        for panel in board.panels:
            for query in panel.queries:
                expression = query.expression.replace(RATE, "30s")
                for name, value in values.items():
                    expression = expression.replace(f"${name}", value)
                found = [series for series in _query(url, expression) if series["value"][1] != "NaN"]
                yield Asked(board, panel, expression, len(found))


def _query(url: str, expression: str) -> list[dict[str, Any]]:
    address = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310 - our own server
        result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result


def _report(asked: list[Asked], firing: list[dict[str, Any]]) -> int:
    empty = [query for query in asked if not query.found]
    missing = [query for query in empty if not query.panel.rare]
    for query in empty:
        word = "nothing of the kind happened" if query.panel.rare else "NO DATA"
        _say(f"{word}: {query.board.uid}, {query.panel.title}: {query.expression}")
    for series in firing:
        _say(f"firing: {series['metric']}")
    sys.stdout.write(
        f"{len(asked)} queries, {len(asked) - len(empty)} with data, {len(missing)} without that need it\n"
    )
    return 1 if missing else 0


def _report_traces(collector: Collector) -> int:
    whole = collector.whole()
    for span in whole[0] if whole else []:
        _say(f"  {span.service}: {span.name}")
    spans = sum(map(len, collector.traces.values()))
    sys.stdout.write(f"{spans} spans; {len(whole)} of {OVER_HTTP} events over HTTP are one trace to a provider\n")
    return 0 if len(whole) == OVER_HTTP else 1


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
