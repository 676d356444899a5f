"""``python -m tests.chaos.digests``: very many events of few users become digests, by four routers, while all kinds die.

Prints and writes (``build/digests.json``) what came of it. Exit code 0 only if every item is in exactly one digest, and every
digest counts the items that say they are in it. Takes minutes, so it is not one of the tests.
"""

import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import msgspec

from pipeline.embedded.line import Plan, open_line
from pipeline.embedded.stack import Stack
from pipeline.events.vocabulary import Channel, Status
from pipeline.kafka.names import DELIVERY_STATUS, INGEST
from pipeline.kafka.reader import read_topics
from pipeline.scheduler.records import SOURCE, DigestHead
from tests.chaos.test_scheduler import CATALOGUE, event, settled, user
from tests.line.rig import Rig

RESULTS = Path("build/digests.json")
ROUTERS = ("router", "router-2", "router-3", "router-4")
SCHEDULERS = ("scheduler", "scheduler-2")
AT_ONCE = 1_000


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """``build/digests.json``. `strays`: items that are in no digest, or in several; `miscounted`: digests whose count is
    not that of the items that say they are in it.
    """

    events: int
    users: int
    kills: int
    seconds: float
    digested: int
    digests: int
    strays: int
    miscounted: int
    ok: bool


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.digests", description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args()
    with Stack.open() as stack, tempfile.TemporaryDirectory() as folder:
        catalogue = Path(folder, "catalogue.yaml")
        catalogue.write_text(CATALOGUE)
        environment = {**os.environ, "PIPELINE_CATALOGUE__PATH": str(catalogue)}
        line = open_line(stack, Plan(simulators=(), workers=(Channel.PUSH,), environment=environment))
        for name in (*ROUTERS[1:], *SCHEDULERS[1:]):
            line.start(name, name.partition("-")[0])
        line.await_ready(within=300)
        results = run(Rig(line), options.events, options.users, options.kills)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n")
    sys.stdout.write(RESULTS.read_text())
    return 0 if results.ok else 1


def run(rig: Rig, events: int, users: int, kills: int) -> Results:
    rig.load([user(i) for i in range(users)])
    rng, began, produced = random.Random(kills), time.monotonic(), threading.Event()
    storm = threading.Thread(target=kill_until, args=(rig, rng, kills, produced))
    storm.start()
    for start in range(0, events, AT_ONCE):
        numbers = range(start, min(events, start + AT_ONCE))
        rig.produce([event("like", i, recipient_id=f"u{rng.randrange(users)}") for i in numbers])
    produced.set()
    storm.join()
    balance = settled(rig, within=1_200)
    seconds = time.monotonic() - began
    items, counts = told(rig), counted(rig)
    strays = events - len(items) + sum(len(into) != 1 for into in items.values())
    held = Counter(next(iter(into)) for into in items.values())
    miscounted = sum(held[unit] != count for unit, count in counts.items()) + len(held.keys() - counts.keys())
    return Results(
        events=events,
        users=users,
        kills=kills,
        seconds=round(seconds, 1),
        digested=balance.count(Status.DIGESTED),
        digests=len(counts),
        strays=strays,
        miscounted=miscounted,
        ok=balance.ok and balance.count(Status.DIGESTED) == events and not strays and not miscounted,
    )


def kill_until(rig: Rig, rng: random.Random, kills: int, produced: threading.Event) -> None:
    """So many services, a few seconds apart, the last ones after everything was produced if that is sooner."""
    for _ in range(kills):
        produced.wait(rng.uniform(1, 5))
        time.sleep(rng.uniform(0.2, 1))
        victim = rig.service(rng.choice(ROUTERS + SCHEDULERS))
        victim.kill()
        victim.start()


def told(rig: Rig) -> dict[str, set[str]]:
    """By item, the digests that its statuses say it is in."""
    items: dict[str, set[str]] = {}
    for batch in read_topics(rig.settings.kafka, [DELIVERY_STATUS]):
        for message in batch:
            status = rig.codec.decode_status(message.value())
            if status.status is Status.DIGESTED:
                items.setdefault(status.notification_id, set()).add(status.provider_message_id)
    return items


def counted(rig: Rig) -> dict[str, int]:
    """By digest, how many items it says it has. The same one twice is one."""
    counts: dict[str, int] = {}
    for batch in read_topics(rig.settings.kafka, [INGEST]):
        for message in batch:
            decoded = rig.codec.decode_event(message.value())
            made = decoded.event
            if made.source == SOURCE:
                digest = made.idempotency_key.removeprefix("digest-")
                head = DigestHead(digest, made.recipient_id, made.channels[0], "", made.event_type, 0, 0)
                number = decoded.data["count"]
                assert isinstance(number, int)
                counts[head.notification_id] = number
    return counts


if __name__ == "__main__":
    sys.exit(main())
