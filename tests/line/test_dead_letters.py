"""A template breaks, five hundred notifications become dead letters, somebody mends it and replays them."""

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.accounts.balance import Balance
from pipeline.embedded.broker import FORCED
from pipeline.embedded.line import Line, Plan, open_line
from pipeline.embedded.stack import Stack
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Reason, Status
from pipeline.kafka.names import INGEST, INGEST_DLQ, channel_dlq
from pipeline.kafka.producer import Record
from pipeline.resources import resource_dir
from pipeline.storage.postgres import open_pool
from pipeline.storage.preferences import Preferences
from pipeline.storage.redis import open_redis
from pipeline.users.directory import UserDirectory
from pipeline.users.snapshot import PreferenceRow
from tests.line.rig import Rig
from tests.line.test_malformed_records import reader

COUNT = 500
USERS = 50
LEAVER = 99
"""Whom no other test sends to."""
PUSH_DLQ = channel_dlq(Channel.PUSH)
LISTED = "  parcel.lost: {category: orders, channels: [push], template: order_shipped}\n"
BROKEN = "{{ data.no_such_field.at_all }}"

pytestmark = [pytest.mark.real_broker, pytest.mark.timeout(600)]


class Mended:
    """A line whose push template and catalogue a test can break and mend."""

    def __init__(self, line: Line, templates: Path, catalogue: Path) -> None:
        self.line = line
        self.rig = Rig(line)
        self.catalogue = catalogue
        self._template = templates / "order_shipped" / "en" / "push.body.txt"
        self._whole = self._template.read_text()

    def break_template(self) -> None:
        self._template.write_text(BROKEN)
        self._restart("worker-push", "worker", "--channel", "push")

    def mend_template(self) -> None:
        self._template.write_text(self._whole)
        self._restart("worker-push", "worker", "--channel", "push")

    def restart_router(self) -> None:
        self._restart("router", "router")

    def _restart(self, name: str, *arguments: str) -> None:
        if name in self.line.services:
            self.line.services[name].stop()
        self.line.start(name, *arguments)
        self.line.await_ready()

    def run(self, *arguments: str, ok: bool = True) -> Any:
        """``pipeline dlq … --json``, decoded."""
        command = [sys.executable, "-m", "pipeline.cli", "dlq", *arguments, "--json"]
        environment = {**os.environ, **self.line.environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode == 0) is ok, done.stderr
        assert "Traceback" not in done.stderr
        return (
            [json.loads(line) for line in done.stdout.splitlines()]
            if arguments[0] == "show"
            else json.loads(done.stdout)
        )

    def settle(self) -> Balance:
        balance = self.rig.settle()
        assert balance.ok, balance.offenders
        return balance


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mended]:
    folder = tmp_path_factory.mktemp("policy")
    templates, catalogue = folder / "templates", folder / "catalogue.yaml"
    shutil.copytree(resource_dir("examples") / "templates", templates)
    shutil.copy(resource_dir("examples") / "catalogue.yaml", catalogue)
    policy = {
        "PIPELINE_CATALOGUE__TEMPLATES": str(templates),
        "PIPELINE_CATALOGUE__PATH": str(catalogue),
    }
    forced = {FORCED: os.environ[FORCED]} if FORCED in os.environ else {}
    with Stack.open(forced) as stack:
        line = open_line(stack, Plan(workers=[Channel.PUSH], environment=policy))
        mended = Mended(line, templates, catalogue)
        mended.rig.load([reader(number) for number in (*range(USERS), LEAVER)])
        yield mended


def push(number: int, event_type: str = "order.shipped") -> NotificationRequested:
    unique = uuid.uuid4().hex
    return NotificationRequested(
        event_id=f"evt_{unique}",
        event_type=event_type,
        recipient_id=f"reader-{number}",
        channels=[Channel.PUSH],
        priority=None,
        data=f'{{"order_id": "{unique}", "tracking_url": "https://example.com/{unique}"}}',
        idempotency_key=f"key_{unique}",
        created_at=time.time_ns() // 1_000_000,
        source="line",
    )


@pytest.mark.parametrize("decision", ["fresh", "same"])
def test_five_hundred_are_delivered_once_the_template_is_mended_and_none_by_a_second_replay(
    mended: Mended, decision: str
) -> None:
    before, taken = mended.settle(), mended.rig.accepted("push")
    mended.break_template()
    mended.rig.produce([push(number % USERS) for number in range(COUNT)])
    broken = mended.settle()
    assert broken.waiting - before.waiting == COUNT
    (group,) = mended.run("list")
    assert (group["topic"], group["reason"], group["count"]) == (PUSH_DLQ, Reason.TEMPLATE_ERROR, COUNT)

    mended.mend_template()
    chosen = ("--reason", "template_error", "--decision", decision)
    assert mended.run("replay", *chosen, "--dry-run")["done"] == COUNT
    assert mended.settle().waiting == broken.waiting, "a dry run sends nothing"
    first = mended.run("replay", *chosen)
    assert (first["selected"], first["done"], first["staying"]) == (COUNT, COUNT, 0)
    after = mended.settle()
    assert after.waiting == before.waiting
    assert after.count(Status.SENT) - before.count(Status.SENT) == COUNT
    assert after.requests - before.requests == COUNT, "what is decided again was asked for once"
    assert mended.rig.accepted("push") - taken == COUNT

    second = mended.run("replay", *chosen)
    assert second["selected"] == 0
    assert mended.run("list") == []
    assert mended.settle().terminal == after.terminal
    assert mended.rig.accepted("push") - taken == COUNT


def test_what_is_still_poison_comes_back_with_its_history_and_can_be_dropped(mended: Mended) -> None:
    before = mended.settle()
    mended.break_template()
    event = push(1)
    mended.rig.produce([event])
    mended.settle()
    for _ in range(2):
        mended.run("replay", "--event", event.event_id, "--decision", "same")
        mended.settle()
    mended.run("replay", "--event", event.event_id)
    assert mended.settle().waiting == before.waiting + 1
    (group,) = mended.run("list")
    assert (group["count"], group["again"]) == (1, 1)
    (shown,) = mended.run("show", "--event", event.event_id)
    assert [r["reason"] for r in shown["rounds"]] == ["template_error"] * 4
    words = [status["status"] for status in shown["statuses"]]
    assert words == ["dead_lettered", *["replayed", "dead_lettered"] * 3]
    assert shown["event"]["data"]["order_id"] in event.data

    mended.run("drop", "--event", event.event_id, "--who", "ann", "--why", "ordered twice")
    after = mended.settle()
    assert (after.waiting, after.count(Status.FAILED)) == (before.waiting, before.count(Status.FAILED) + 1)
    assert mended.run("list") == []
    assert mended.run("drop", "--event", event.event_id, "--who", "ann", "--why", "again")["selected"] == 0
    mended.mend_template()


def test_who_opted_out_meanwhile_gets_nothing_by_a_fresh_decision(mended: Mended) -> None:
    before, taken = mended.settle(), mended.rig.accepted("push")
    mended.break_template()
    mended.rig.produce([push(LEAVER), push(8)])
    mended.settle()
    opt_out(mended, f"reader-{LEAVER}")
    mended.mend_template()
    assert mended.run("replay", "--all")["done"] == 2
    after = mended.settle()
    assert after.count(Status.SENT) - before.count(Status.SENT) == 1
    assert after.count(Status.SUPPRESSED) - before.count(Status.SUPPRESSED) == 1
    assert mended.rig.accepted("push") - taken == 1


def opt_out(mended: Mended, user_id: str) -> None:
    import asyncio

    async def write() -> None:
        settings = mended.line.settings
        async with await open_pool(settings.postgres) as pool, open_redis(settings.redis) as redis:
            preferences = Preferences(pool, UserDirectory(pool, redis).changed)
            await preferences.set(user_id, [PreferenceRow("push", "*", False, None, None, "UTC")])

    asyncio.run(write())


def test_events_of_a_type_that_the_catalogue_lists_later_are_delivered_by_a_replay(mended: Mended) -> None:
    before = mended.settle()
    events = [push(number, "parcel.lost") for number in range(10)]
    poison = Record(INGEST, b"reader-3", b"poison")
    mended.rig.produce(events)
    mended.rig.produce_raw([poison])
    rejected = mended.settle()
    assert rejected.rejected - before.rejected == 11
    assert rejected.accepted == before.accepted
    assert {(g["topic"], g["reason"], g["count"]) for g in mended.run("list")} == {
        (INGEST_DLQ, "unknown_type", 10),
        (INGEST_DLQ, "malformed", 1),
    }

    whole = mended.catalogue.read_text()
    mended.catalogue.write_text(whole.replace("  order.shipped:", LISTED + "  order.shipped:", 1))
    mended.restart_router()
    try:
        mended.run("replay", "--topic", "ingest", "--all")
        after = mended.settle()
    finally:
        mended.catalogue.write_text(whole)
        mended.restart_router()
    assert after.rejected - before.rejected == 1, "the poison is poison still"
    assert after.requests - before.requests == 10
    assert after.count(Status.SENT) - before.count(Status.SENT) == 10
    (left,) = mended.run("list")
    assert (left["reason"], left["again"]) == ("malformed", 1)
    mended.run("drop", "--topic", "ingest", "--all", "--who", "ann", "--why", "nobody knows what it is")
    assert mended.settle().rejected == before.rejected
