"""``python -m tests.chaos.backlog``: millions wait, very many are due at one minute, and schedulers are killed meanwhile.

What is not due is rows made by SQL; what is due are real records, delivered to the simulated push provider. Prints and
writes (``build/backlog.json``) the pace, the memory of the schedulers and what came of it. Exit code 0 only if nothing was
lost, nothing sent twice, and no second had more than the pace allows. Takes minutes, so it is not one of the tests.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec
import psutil
import psycopg

from pipeline.catalogue.loader import load_catalogue
from pipeline.embedded.line import Plan, open_line
from pipeline.embedded.stack import Stack
from pipeline.events.ids import notification_id
from pipeline.events.records import Deferred
from pipeline.events.vocabulary import Channel, Priority, Reason, Status
from pipeline.kafka.inbound import Inbound
from pipeline.scheduler import waiting
from pipeline.scheduler.parcel import Parcel
from pipeline.storage.postgres import open_pool
from tests.chaos.test_scheduler import CATALOGUE, SCHEDULERS, USERS, event, released_at, user
from tests.line.rig import Rig

RESULTS = Path("build/backlog.json")
BATCH = 2_000
SAMPLE = 0.5
AHEAD_MS = 20_000

FILL = """
INSERT INTO waiting (notification_id, deferred_at, due_at, recipient_id, idempotency_key, channel, urgency, reason,
    created_at, arrival, record)
SELECT gen_random_uuid(), now(), now() + interval '2 hours' + random() * interval '4 days', 'w' || n %% 100000, 'w' || n,
    'push', 2, 'quiet_hours', now(), n, %s
FROM generate_series(%s::bigint, %s::bigint) AS n
"""


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """``build/backlog.json``. Memory in MiB, rates in notifications a second."""

    waiting: int
    due: int
    pace: float
    highest_in_a_second: int
    median_in_a_second: float
    seconds: float
    kills: int
    memory_before: float
    memory_highest: float
    lost: int
    sent_twice: int
    duplicates_unflagged: int
    ok: bool


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.backlog", description=__doc__)
    parser.add_argument("--waiting", type=int, default=2_000_000, help="what is not due")
    parser.add_argument("--due", type=int, default=100_000, help="what is due at the same moment")
    parser.add_argument("--pace", type=float, default=1_000.0, help="released a second")
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    with Stack.open() as stack, tempfile.TemporaryDirectory() as folder:
        catalogue = Path(folder, "catalogue.yaml")
        catalogue.write_text(CATALOGUE)
        environment = {
            "PIPELINE_CATALOGUE__PATH": str(catalogue),
            "PIPELINE_SCHEDULER__PACE__PUSH": str(options.pace),
        }
        plan = Plan(simulators=(), workers=(Channel.PUSH,), environment=environment)
        line = open_line(stack, plan, say=_say)
        line.start(SCHEDULERS[1], "scheduler")
        line.await_ready()
        results = run(Rig(line), options.waiting, options.due, options.pace, options.kills)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    sys.stdout.write(RESULTS.read_text())
    return 0 if results.ok else 1


def run(rig: Rig, others: int, due: int, pace: float, kills: int) -> Results:
    rig.load([user(i) for i in range(USERS)])
    _say(f"filling the table with {others:,} rows that are not due")
    fill(rig, others)
    at = time.time_ns() // 1_000_000 + AHEAD_MS + due // 3
    _say(f"entering {due:,} that are due at one moment")
    asyncio.run(enter(rig, due, at))
    time.sleep(max(0.0, at / 1000 - time.time()))
    before = memory(rig)
    highest = storm(rig, due / pace, kills, before)
    balance = rig.settle(within=due / pace + 240)
    _say("counting")
    times = released_at(rig)
    seconds = Counter((t - times[0]) // 1_000 for t in times)
    taken = rig.taken()["push"]
    window = max(
        sum(times[i] <= t <= times[i] + 1_000 for t in times[i : i + int(3 * pace)]) for i in range(0, due, 50)
    )
    lost = due - balance.count(Status.SENT)
    return Results(
        waiting=others,
        due=due,
        pace=pace,
        highest_in_a_second=window,
        median_in_a_second=sorted(seconds.values())[len(seconds) // 2],
        seconds=(times[-1] - times[0]) / 1000,
        kills=kills,
        memory_before=before,
        memory_highest=highest,
        lost=lost,
        sent_twice=len(taken.repeated),
        duplicates_unflagged=balance.duplicates_unflagged,
        ok=balance.ok and not lost and not taken.repeated and window <= pace * 1.5 + 1,
    )


def fill(rig: Rig, count: int) -> None:
    record = rig.codec.encode_deferred(_deferred(0, 0))
    with psycopg.connect(rig.settings.postgres.dsn.get_secret_value(), autocommit=True) as connection:
        for start in range(0, count, 100_000):
            connection.execute(FILL, (record, start, min(count, start + 100_000) - 1))
        connection.execute("ANALYZE waiting")


async def enter(rig: Rig, count: int, at: int) -> None:
    """As the intake does, without Kafka in between."""
    catalogue = load_catalogue(rig.settings.catalogue.path)
    async with await open_pool(rig.settings.postgres) as pool:
        for start in range(0, count, BATCH):
            parcel = Parcel()
            for number in range(start, min(count, start + BATCH)):
                deferred = _deferred(number, at)
                record = Inbound(0, number, None, rig.codec.encode_deferred(deferred), [], at)
                parcel.add(deferred, record, catalogue, 0)
            async with pool.acquire() as connection, connection.transaction():
                await waiting.add(connection, parcel.waits)


def storm(rig: Rig, seconds: float, kills: int, highest: float) -> float:
    """Kill schedulers while the release lasts; the most memory that one of them took (MiB)."""
    rng = random.Random(kills)
    strikes = sorted(rng.uniform(0.05, 0.9) * seconds for _ in range(kills))
    began = time.monotonic()
    while (now := time.monotonic() - began) < seconds * 1.05:
        if strikes and now > strikes[0]:
            strikes.pop(0)
            victim = rig.service(rng.choice(SCHEDULERS))
            victim.kill()
            victim.start()
        highest = max(highest, memory(rig))
        time.sleep(SAMPLE)
    return highest


def memory(rig: Rig) -> float:
    """Of the scheduler that takes most, MiB."""
    return max(psutil.Process(rig.service(name).pid).memory_info().rss for name in SCHEDULERS) / 2**20


def _deferred(number: int, at: int) -> Deferred:
    made = event("reminder", number, recipient_id=f"u{number % USERS}", send_at=at)
    unit = notification_id(made.idempotency_key, made.recipient_id, Channel.PUSH)
    return Deferred(
        notification_id=unit,
        channel=Channel.PUSH,
        priority=Priority.NORMAL,
        category="news",
        until=at,
        reason=Reason.SCHEDULED,
        rule="send_at",
        policy_version="test",
        deferred_at=made.created_at,
        stage="router",
        attempts=0,
        trace_id="",
        event=made,
    )


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
