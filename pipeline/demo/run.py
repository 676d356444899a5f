"""The demo itself: start everything, send events, wait until it is quiet, take the balance."""

import asyncio
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec

from pipeline.accounts.balance import Balance
from pipeline.accounts.take import take_balance
from pipeline.config import Settings
from pipeline.demo.latency import Percentiles
from pipeline.demo.observer import Observer
from pipeline.demo.traffic import produce_burst, produce_paced
from pipeline.embedded.line import Line
from pipeline.errors import Unavailable
from pipeline.events.vocabulary import Channel
from pipeline.storage.bulk import bulk_load
from pipeline.storage.postgres import open_pool
from pipeline.storage.redis import open_redis
from pipeline.testing.control import CONTROL_VARIABLE
from pipeline.testing.traffic import Traffic
from pipeline.users.directory import UserDirectory
from pipeline.users.synthetic import generate_users, with_own_tokens

RESULTS = Path("build/demo.json")
SYNTHETIC_USERS = 500
PACED_EVENTS = 1_500
PACED_RATE = 150.0
BURST_EVENTS = 2_500
QUIET_WITHIN = 60.0

Progress = Callable[[int, int, int], None]
"""Told how many events were sent, how many notifications were accepted and how many of them are settled."""


class Results(msgspec.Struct, frozen=True):
    """What the demo found; ``build/demo.json``. Latencies in ms, throughput in notifications a second."""

    balance: Balance
    events: int
    latencies: dict[str, Percentiles]
    throughput: float
    received: dict[str, int]
    seconds: float
    released: int


async def load_users(settings: Settings, count: int, *, own_tokens: bool = False) -> list[str]:
    """Put `count` synthetic users into the database, and whatever of them was cached out of date; returns their ids.

    `own_tokens`: Apple devices are reached through APNs and browsers through web push; else all through FCM.
    """
    users = generate_users(count, seed=7)
    if own_tokens:
        users = [with_own_tokens(user) for user in users]
    async with await open_pool(settings.postgres) as pool, open_redis(settings.redis) as redis:
        await bulk_load(pool, users, UserDirectory(pool, redis).changed)
    return [user.user_id for user in users]


def run_demo(line: Line, users: list[str], seed: int, progress: Progress) -> Results:
    """Send the events and wait until every notification is settled.

    Raises:
        Unavailable: it does not become quiet in time; says what is left.
    """
    began = time.monotonic()
    kafka = line.settings.kafka
    observer = Observer(kafka)
    observer.start()
    traffic, sent = Traffic(users, seed), 0

    def note(more: int) -> None:
        nonlocal sent
        sent += more
        progress(sent, observer.accepted, observer.settled)

    asyncio.run(produce_paced(kafka, traffic, PACED_EVENTS, PACED_RATE, note))
    burst_began = observer.latencies_until = time.time_ns() // 1_000_000
    asyncio.run(produce_burst(kafka, traffic, BURST_EVENTS, note))
    balance = _settle(line, observer, lambda: note(0))
    observer.stop()
    return Results(
        balance=balance,
        events=sent,
        latencies=observer.latencies(),
        throughput=round(observer.throughput(burst_began), 1),
        received=received(line),
        seconds=round(time.monotonic() - began, 1),
        released=observer.released,
    )


def _settle(line: Line, observer: Observer, tick: Callable[[], None]) -> Balance:
    deadline = time.monotonic() + QUIET_WITHIN
    while True:
        while observer.settled < observer.accepted and time.monotonic() < deadline:
            tick()
            time.sleep(0.1)
        balance = take_balance(line.settings)
        if balance.quiet or time.monotonic() > deadline:
            tick()
            return balance
        time.sleep(0.3)


class Mail(msgspec.Struct, frozen=True):
    """A mail as it arrived: decoded headers, text part, HTML part."""

    headers: dict[str, str]
    text: str
    html: str


class _Accepted(msgspec.Struct, frozen=True):
    accepted: int


def received(line: Line) -> dict[str, int]:
    """How many requests each provider simulator accepted, by channel."""
    summaries = msgspec.json.decode(_control(line, "received"), type=dict[str, _Accepted])
    return {channel: summary.accepted for channel, summary in summaries.items()}


def last_mail(line: Line) -> Mail:
    """The last mail that the SMTP simulator took."""
    return msgspec.json.decode(_control(line, "last-mail"), type=Mail)


def _control(line: Line, what: str) -> bytes:
    url = f"{line.environment[CONTROL_VARIABLE]}/_control/{what}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own simulator
            body: bytes = answer.read()
            return body
    except OSError as error:
        raise Unavailable(f"the provider simulators do not answer at {url}: {error}") from error


def keep(results: Results) -> None:
    """Write ``build/demo.json``."""
    RESULTS.parent.mkdir(exist_ok=True)
    outcomes = {f"{o.channel}.{o.status}.{o.reason}": o.count for o in results.balance.outcomes}
    document = msgspec.to_builtins(results) | {"outcomes": outcomes, "channels": [str(c) for c in Channel]}
    document["balance"] |= {"ok": results.balance.ok}
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
