"""``python -m tests.chaos.memory``: how much memory router and worker take with a million records before them.

Exit code 0 only if neither ever took more than `LIMIT_MB`. Takes some minutes, so it is not one of the tests.
"""

import argparse
import sys
import time
from collections.abc import Iterator

import psutil

from pipeline.embedded.line import Plan, open_line
from pipeline.embedded.processes import Child
from pipeline.embedded.stack import Stack
from pipeline.errors import Unavailable
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Priority
from pipeline.kafka.names import ROUTER_GROUP, worker_group
from pipeline.users.synthetic import generate_users
from tests.line.rig import Rig

LIMIT_MB = 200
USERS = 20_000
BATCH = 5_000
SAMPLE = 0.25


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.memory", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=90.0, help="how long the worker is watched")
    options = parser.parse_args()
    with Stack.open() as stack:
        line = open_line(stack, Plan(router=False, workers=()))
        rig = Rig(line)
        rig.load(generate_users(USERS, seed=7))
        fill(rig, options.records)
        router = watch(rig, line.start("router", "router"), ROUTER_GROUP, 3600.0)
        group = worker_group(Channel.PUSH, Priority.HIGH)
        worker = line.start("worker", "worker", "--channel", "push")
        peak = max(router, watch(rig, worker, group, options.seconds))
    return 0 if peak < LIMIT_MB else 1


def fill(rig: Rig, count: int) -> None:
    began = time.monotonic()
    for start in range(0, count, BATCH):
        rig.produce(list(events(start, min(count, start + BATCH))))
    say(f"{count:,} records after {time.monotonic() - began:.0f} s")


def events(start: int, end: int) -> Iterator[NotificationRequested]:
    now = time.time_ns() // 1_000_000
    for number in range(start, end):
        yield NotificationRequested(
            event_id=f"evt_{number}",
            event_type="order.shipped",
            recipient_id=f"user-{number % USERS:06d}",
            channels=[Channel.PUSH],
            priority=Priority.HIGH,
            data=f'{{"order_id": "ORD-{number}", "tracking_url": "https://example.com/track/{number}"}}',
            idempotency_key=f"order_shipped_{number}",
            created_at=now,
            source="memory",
        )


def watch(rig: Rig, child: Child, group: str, seconds: float) -> float:
    """The largest resident size in MB until the group is done or the time is over."""
    process, peak, began, told = psutil.Process(child.pid), 0.0, time.monotonic(), 0.0
    left = rig.lag(group)
    while (passed := time.monotonic() - began) < seconds:
        if not child.running:
            raise Unavailable(f"{child.name} ended:\n{child.log_tail()}")
        peak = max(peak, process.memory_info().rss / 1e6)
        if passed - told > 10:
            told, left = passed, rig.lag(group)
            say(f"{child.name}: {passed:4.0f} s, {left:>9,} left, {process.memory_info().rss / 1e6:.0f} MB")
            if not left:
                break
        time.sleep(SAMPLE)
    say(f"{child.name}: at most {peak:.0f} MB")
    child.stop()
    return peak


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
