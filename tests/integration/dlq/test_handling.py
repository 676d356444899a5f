"""Replay and drop on real servers: each dead letter once, whatever happens in between."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient

from pipeline.dlq.commands import LOCK, open_desk
from pipeline.dlq.handling import Mode
from pipeline.dlq.looking import look
from pipeline.dlq.selection import Selection
from pipeline.errors import ConfigurationError, Unavailable
from pipeline.events.vocabulary import Reason, Status
from pipeline.kafka.client import base_config
from pipeline.kafka.names import DLQ_HANDLED, INGEST, INGEST_DLQ
from pipeline.kafka.topology import apply_topics, missing_topics
from pipeline.storage.audit import AuditTrail
from pipeline.storage.locks import exclusive
from pipeline.storage.postgres import Pool
from tests.integration.dlq.conftest import DLQ, EMAIL, NOW

if TYPE_CHECKING:
    from tests.integration.dlq.conftest import Office

pytestmark = pytest.mark.real_broker


async def test_a_second_replay_sends_nothing_and_the_depth_is_that_of_open_ones(office: "Office") -> None:
    await office.write(*(office.undelivered(number) for number in range(40)))
    assert await office.depth() == 40
    assert (await office.rehearse()).done == 40
    assert await office.depth() == 40
    first = await office.replay(rate=200)
    assert (first.selected, first.done, first.staying) == (40, 40, 0)
    assert await office.depth() == 0
    assert (await office.replay()).selected == 0
    assert await office.groups() == []
    assert len(office.written(EMAIL)) == 40
    assert office.words() == {"replayed": 40}
    await office.write(office.undelivered(41))
    assert await office.depth() == 1


async def test_only_what_was_selected_is_replayed_and_the_rest_stays_listed(office: "Office") -> None:
    await office.write(*(office.undelivered(n, Reason.TEMPLATE_ERROR if n % 2 else Reason.IN_DOUBT) for n in range(20)))
    await office.replay(Selection(reasons=frozenset({Reason.IN_DOUBT})))
    assert [(g.reason, g.count) for g in await office.groups()] == [(Reason.TEMPLATE_ERROR, 10)]
    assert await office.depth() == 10
    await office.replay(Selection(since=NOW + 3, until=NOW + 6))
    assert await office.depth() == 8
    await office.replay(Selection(event_id="event-7"))
    unit = office.dispatch(9).notification_id
    await office.replay(Selection(notification_id=unit))
    numbers = {office.codec.decode_dispatch(m.value()).event.event_id for m in office.written(EMAIL)}
    assert {"event-3", "event-5", "event-7", "event-9"} <= numbers
    assert await office.depth() == 6


async def test_a_replay_killed_at_any_moment_and_run_again_loses_none_and_sends_no_other_round(
    office: "Office",
) -> None:
    """What goes out twice is byte for byte the same, with the same round: the ledger knows it."""
    count = 300
    await office.write(*(office.undelivered(number) for number in range(count)))
    await asyncio.to_thread(replay_and_kill, office, 40)
    left = await office.depth()
    assert 0 < left < count
    report = await office.replay()
    assert report.done == left
    sent = office.written(EMAIL)
    rounds = {(m.key(), m.value(), dict(m.headers() or [])["replay.round"]) for m in sent}
    assert len(rounds) == count
    assert len(sent) - count <= 20, "at most the slice that was under way"
    assert await office.depth() == 0


async def test_what_was_written_twice_by_a_crash_is_sent_once(office: "Office") -> None:
    """A worker that dies between the dead letter and its status leaves it to the next one, which writes it again."""
    letter = office.undelivered(1)
    await office.write(letter, letter)
    report = await office.replay()
    assert (report.selected, report.done, report.copies) == (2, 1, 1)
    await office.write(letter)
    late = await office.replay()
    assert (late.selected, late.done, late.copies) == (1, 0, 1)
    assert len(office.written(EMAIL)) == 1
    assert await office.depth() == 0


async def test_a_notification_that_had_its_outcome_meanwhile_is_not_sent_again(office: "Office") -> None:
    await office.write(office.undelivered(1), office.undelivered(2), office.told(1, Status.SENT, at=5))
    report = await office.replay()
    assert (report.done, report.settled) == (1, 1)
    assert [office.codec.decode_dispatch(m.value()).event.event_id for m in office.written(EMAIL)] == ["event-2"]
    assert await office.depth() == 0


async def test_a_drop_ends_as_failed_and_is_told_to_the_audit_trail(office: "Office", pool: Pool) -> None:
    await office.write(
        *(office.undelivered(number) for number in range(3)), office.refused(9), office.refused(10, b"\xff")
    )
    report = await office.drop()
    assert (report.selected, report.done) == (5, 5)
    statuses = office.statuses()
    assert {(s.status, s.reason) for s in statuses} == {(Status.FAILED, Reason.DROPPED)}
    assert len(statuses) == 4, "what cannot be read has no notification"
    assert (await office.depth(), await office.depth(INGEST_DLQ)) == (0, 0)
    assert (await office.drop()).selected == 0
    trail = AuditTrail(pool)
    begun, ended = (await trail.last(10))[-1], (await trail.last(10))[-2]
    assert (begun.action, begun.who, begun.why, begun.target) == ("dlq.drop", "ann", "no longer wanted", "all")
    assert json.loads(begun.details) == {"phase": "begin", "selected": 5}
    assert json.loads(ended.details)["done"] == 5
    assert (await trail.verify()).problem == ""
    assert "hunter2" not in begun.details + ended.details


async def test_refused_events_go_back_and_what_cannot_be_decided_stays(office: "Office") -> None:
    poison = office.letter(3, b"\xff", Reason.MALFORMED)
    await office.write(office.refused(1), office.refused(2, b"\x00"), poison, office.undelivered(4))
    report = await office.replay(mode=Mode.FRESH)
    assert (report.done, report.staying) == (3, 1)
    assert [g.reason for g in await office.groups()] == [Reason.MALFORMED]
    assert len(office.written(INGEST)) == 3
    assert (await office.replay(mode=Mode.SAME)).done == 1
    assert [m.value() for m in office.written(EMAIL)] == [b"\xff"]


async def test_only_one_operator_works_at_a_time(office: "Office", pool: Pool) -> None:
    await office.write(office.undelivered(1))
    async with exclusive(pool, LOCK):
        with pytest.raises(Unavailable, match="another command holds the lock"):
            await office.replay()
    assert (await office.replay()).done == 1


async def test_without_an_audit_trail_nothing_is_touched(office: "Office", pool: Pool) -> None:
    await office.write(office.undelivered(1))
    await pool.execute("DROP TABLE audit_trail, audit_trail_head")
    with pytest.raises(ConfigurationError, match="pipeline migrate"):
        await office.drop()
    assert await office.depth() == 1
    assert office.statuses() == []


async def test_dead_letters_of_a_topic_that_was_made_anew_are_open(office: "Office") -> None:
    await office.write(*(office.undelivered(number) for number in range(5)))
    await office.replay()
    await asyncio.to_thread(delete, office, DLQ)
    apply_topics(office.settings.kafka, partitions=3, replication_factor=1)
    await office.write(*(office.undelivered(number) for number in range(5, 8)))
    assert await office.depth() == 3
    assert (await office.replay()).done == 3


async def test_a_cluster_without_the_topic_of_marks_can_be_looked_at_and_says_what_to_do(office: "Office") -> None:
    await office.write(office.undelivered(1))
    await asyncio.to_thread(delete, office, DLQ_HANDLED)
    assert await office.depth() == 1
    assert len(await office.groups()) == 1
    with pytest.raises(Unavailable, match=r"notifications\.dlq-handled.*pipeline topics apply"):
        await office.replay()
    assert office.written(EMAIL) == []


async def test_one_is_shown_with_its_history_on_the_status_topic_and_handled_ones_by_their_offset(
    office: "Office",
) -> None:
    await office.write(office.undelivered(1), office.told(1, Status.DEAD_LETTERED), office.told(2, Status.SENT))
    await office.replay()
    desk = await asyncio.to_thread(open_desk, office.settings)
    assert await asyncio.to_thread(look, desk, Selection(), 5, all_of_them=False) == []
    (shown,) = await asyncio.to_thread(look, desk, Selection(), 5, all_of_them=True)
    assert (shown["state"], shown["event"]["data"]) == ("handled", {"secret": "hunter2"})
    assert [status["status"] for status in shown["statuses"]] == ["dead_lettered", "replayed"]


def delete(office: "Office", topic: str) -> None:
    """Delete a topic and wait until it is gone."""
    admin = AdminClient(base_config(office.settings.kafka))
    admin.delete_topics([topic], operation_timeout=30)[topic].result()
    deadline = time.monotonic() + 10
    while not missing_topics(office.settings.kafka) and time.monotonic() < deadline:
        time.sleep(0.05)


def replay_and_kill(office: "Office", after: int) -> None:
    """Replay everything in a process of its own, and end it at once when so many records went out."""
    command = [sys.executable, "-m", "pipeline.cli", "dlq", "replay", "--all", "--decision", "same", "--rate", "200"]
    with subprocess.Popen(command, env=environment(office), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while len(office.written(EMAIL)) < after:
            assert time.monotonic() < deadline
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)


def environment(office: "Office") -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    return {
        **ours,
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": office.settings.kafka.bootstrap_servers,
        "PIPELINE_POSTGRES__DSN": office.settings.postgres.dsn.get_secret_value(),
    }


def pipeline(office: "Office", *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipeline.cli", "dlq", *arguments]
    return subprocess.run(command, env=environment(office), capture_output=True, text=True, timeout=90, check=False)


async def test_the_commands_as_people_type_them(office: "Office") -> None:
    await office.write(office.undelivered(1), office.letter(2, b"\xffbytes", Reason.MALFORMED))
    listed = await asyncio.to_thread(pipeline, office, "list")
    assert listed.returncode == 0, listed.stderr
    assert "template_error" in listed.stdout
    assert "hunter2" not in listed.stdout + listed.stderr
    shown = await asyncio.to_thread(pipeline, office, "show", "--topic", "email")
    assert "hunter2" in shown.stdout
    assert "ff 62 79 74 65 73" in shown.stdout
    assert "hunter2" not in shown.stderr, "content goes to the operator, never to a log"
    vague = await asyncio.to_thread(pipeline, office, "replay")
    assert vague.returncode == 1
    assert "--all" in vague.stderr
    unexplained = await asyncio.to_thread(pipeline, office, "drop", "--all", "--who", "ann", "--why", " ")
    assert unexplained.returncode == 1
    replayed = await asyncio.to_thread(pipeline, office, "replay", "--topic", "email", "--all")
    assert replayed.returncode == 1, "one had to stay"
    assert "replayed 1 of 2 dead letters" in replayed.stdout
    assert "hunter2" not in replayed.stdout + replayed.stderr
    assert "--decision same" in replayed.stdout
    nothing = await asyncio.to_thread(pipeline, office, "show", "--reason", "in_doubt")
    assert nothing.returncode == 1
    assert "no dead letter fits" in nothing.stderr
