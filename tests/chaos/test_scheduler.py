"""Schedulers die at random moments while much is due: nothing that waited is lost, and nothing of it is sent twice."""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec
import pytest

from pipeline.accounts.balance import Balance
from pipeline.embedded.broker import FORCED
from pipeline.embedded.line import Plan, open_line
from pipeline.embedded.stack import Stack
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Status
from pipeline.kafka.names import INGEST, Header
from pipeline.kafka.reader import read_topics
from pipeline.kafka.tracing import number_of
from pipeline.users.snapshot import Device, UserSnapshot
from tests.line.rig import Rig, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

CATALOGUE = """
version: test
defaults: {category: news, template: generic}
categories:
  news: {}
event_types:
  reminder: {category: news, channels: [push], template: generic}
  like:
    category: news
    channels: [push]
    template: generic
    digest: {type: likes, key: "{data.post}", window: 3s, flush_at: 40}
  likes: {category: news, channels: [push], template: generic}
"""
PACE = 250
USERS = 60
REMINDERS = 2_000
LIKES = 3_000
SCHEDULERS = ("scheduler", "scheduler-2")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Router, push worker and two schedulers."""
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(CATALOGUE)
    environment = {
        "PIPELINE_CATALOGUE__PATH": str(catalogue),
        "PIPELINE_SCHEDULER__PACE__PUSH": str(PACE),
        "PIPELINE_SCHEDULER__BATCH": "100",
    }
    forced = {FORCED: os.environ[FORCED]} if FORCED in os.environ else {}
    with Stack.open(forced) as stack:
        line = open_line(stack, Plan(simulators=(), workers=(Channel.PUSH,), environment=environment))
        line.start(SCHEDULERS[1], "scheduler")
        line.await_ready()
        yield Rig(line)


def user(number: int) -> UserSnapshot:
    device = Device(f"d{number}", "android", f"{number:022d}:APA91b{'x' * 120}")
    return UserSnapshot(user_id=f"u{number}", version=0, known=True, devices=[device])


def event(kind: str, number: int, **changes: object) -> NotificationRequested:
    fields: dict[str, object] = {
        "event_id": f"{kind}-{number}",
        "event_type": kind,
        "recipient_id": f"u{number % USERS}",
        "channels": [],
        "priority": None,
        "data": f'{{"title": "t", "body": "b", "post": "p{number % 3}"}}',
        "idempotency_key": f"{kind}-{number}",
        "created_at": time.time_ns() // 1_000_000,
    }
    return NotificationRequested(**(fields | changes))  # type: ignore[arg-type]


def kill_some(rig: Rig, rng: random.Random, times: int) -> None:
    for _ in range(times):
        time.sleep(rng.uniform(0.3, 1.5))
        name = rng.choice(SCHEDULERS)
        rig.service(name).kill()
        rig.service(name).start()


def settled(rig: Rig, within: float = 120.0) -> Balance:
    """The balance once nothing waits any more."""
    wait_until(lambda: not (b := rig.settle()).waiting and b.quiet, "nothing waits", within, poll=1.0)
    return rig.settle()


def test_schedulers_killed_while_all_is_due_at_once_lose_nothing_double_nothing_and_keep_the_pace(rig: Rig) -> None:
    rig.load([user(i) for i in range(USERS)])
    due = time.time_ns() // 1_000_000 + 6_000
    rig.produce([event("reminder", i, send_at=due) for i in range(REMINDERS)])
    wait_until(lambda: time.time_ns() // 1_000_000 > due, "it is due")
    kill_some(rig, random.Random(3), 5)
    balance = settled(rig)
    assert balance.ok
    assert balance.count(Status.SENT) == balance.accepted == REMINDERS
    assert balance.duplicates_unflagged == 0
    taken = rig.taken()["push"]
    assert (taken.notifications, taken.repeated) == (REMINDERS, {})
    released = released_at(rig)
    assert min(released) >= due
    for i, began in enumerate(released):
        assert sum(at - began <= 1_000 for at in released[i:]) <= PACE * 1.5 + 1


def released_at(rig: Rig) -> list[int]:
    """When each notification was released first, in order."""
    first: dict[str, int] = {}
    for batch in read_topics(rig.settings.kafka, [INGEST]):
        for message in batch:
            headers = cast("list[tuple[str, bytes | None]]", message.headers() or [])
            if at := number_of(headers, Header.RELEASED_AT):
                unit = rig.codec.decode_event(message.value()).event.idempotency_key
                first[unit] = min(first.get(unit, at), at)
    return sorted(first.values())


def test_every_item_is_in_exactly_one_digest_whoever_dies(rig: Rig) -> None:
    rig.load([user(i) for i in range(USERS)])
    rng = random.Random(4)
    for start in range(0, LIKES, 500):
        rig.produce([event("like", i) for i in range(start, start + 500)])
        kill_some(rig, rng, 1)
    rig.service("router").kill()
    rig.service("router").start()
    balance = settled(rig)
    assert balance.ok
    assert balance.count(Status.DIGESTED) == LIKES
    assert balance.accepted == LIKES + balance.count(Status.SENT)
    counts = {
        e.idempotency_key: msgspec.json.decode(e.data)["count"]
        for batch in read_topics(rig.settings.kafka, [INGEST])
        for m in batch
        if (e := rig.codec.decode_event(m.value()).event).event_type == "likes"
    }
    assert sum(counts.values()) == LIKES
    assert len(counts) == balance.count(Status.SENT)
    assert rig.taken()["push"].repeated == {}
