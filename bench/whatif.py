"""``python -m bench.whatif [--events N]``: what-if over a fifth of so many recorded events, and over all of them.

Prints the rate, and the memory of the command: the same, however long the record is.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.cluster import bench_line, produce_all
from pipeline.demo.run import load_users
from pipeline.embedded.line import Line, Plan
from pipeline.events.codec import Codec
from pipeline.events.records import NotificationRequested
from pipeline.kafka.names import INGEST
from pipeline.kafka.producer import Record

USERS = 50_000
"""More than what-if keeps in memory."""

TYPES = (
    "order.shipped",
    "order.confirmed",
    "social.comment",
    "social.like",
    "marketing.newsletter",
    "payment.received",
)
AT_ONCE = 20_000


def main(events: int) -> None:
    with (
        bench_line(Plan(simulators=None, workers=(), router=False, scheduler=False)) as line,
        TemporaryDirectory() as folder,
    ):
        asyncio.run(load_users(line.settings, USERS))
        candidate = _candidate(line, Path(folder))
        done = 0
        for upto in (events // 5, events):
            _record(line, done, upto)
            done = upto
            _run(line, candidate, upto)


def _record(line: Line, first: int, last: int) -> None:
    codec, rng = Codec.open(), random.Random(first)
    for start in range(first, last, AT_ONCE):
        produce_all(line.settings.kafka, list(_events(codec, rng, start, min(last, start + AT_ONCE))))


def _events(codec: Codec, rng: random.Random, first: int, last: int) -> Iterator[Record]:
    now = time.time_ns() // 1_000_000
    for n in range(first, last):
        user = f"user-{rng.randrange(USERS):06d}"
        event = NotificationRequested(
            event_id=f"evt-{n}",
            event_type=rng.choice(TYPES),
            recipient_id=user,
            channels=[],
            priority=None,
            data='{"order_id":"ORD-1","post_id":"7"}',
            idempotency_key=f"key-{n}",
            created_at=now,
        )
        yield Record(INGEST, user.encode(), codec.encode_event(event))


def _candidate(line: Line, folder: Path) -> Path:
    """The example with another cap and another priority."""
    text = Path(line.settings.catalogue.path).read_text()
    changed = text.replace("limit: 1, window: 5m", "limit: 3, window: 5m").replace(
        "priority: high", "priority: normal", 1
    )
    path = folder / "candidate.yaml"
    path.write_text(changed)
    return path


def _run(line: Line, candidate: Path, events: int) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "what-if", "--policy", str(candidate), "--json"]
    environment = {**os.environ, **line.environment}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    print(
        f"{report['decided']:,} of {events:,} events decided twice, {report['changed']:,} differently: "
        f"{report['seconds']:.1f} s, {report['events_per_second']:,.0f} events/s, {report['peak_memory_mb']:.0f} MB at most",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    main(parser.parse_args().events)
