"""What stands on the topic stands in PostgreSQL, once, whatever came twice, out of order, or in the way of a kill."""

import asyncio
import os
import random
import subprocess
import sys

import pytest

from pipeline.config import Settings
from pipeline.events.ids import notification_id
from pipeline.events.vocabulary import Channel, Reason, Status
from pipeline.kafka.names import STORE_GROUP
from pipeline.observability.lag import OffsetReader
from pipeline.storage.history import History
from tests.integration.store.conftest import DAY, NOW, Desk, status

pytestmark = pytest.mark.broker

EVENTS = "SELECT count(*) FROM status_events"
KILLS = 4
COUNTED = "SELECT coalesce(sum(count), 0)::bigint FROM status_counts"


async def test_every_record_is_stored_once_and_counted_once_however_often_it_comes(topic_desk: Desk) -> None:
    told = [status(f"k{n}", at=NOW + n) for n in range(500)]
    topic_desk.tell(told)
    async with topic_desk.store() as metrics:
        await topic_desk.until(EVENTS, 500)
        topic_desk.tell([*told, *told[:50], status("new")])
        await topic_desk.until(EVENTS, 501)
        await topic_desk.until("SELECT count(*) FROM history", 501)
    assert await topic_desk.number(COUNTED) == 501
    assert metrics.store_records.labels("stored")._value.get() == 501
    assert metrics.store_records.labels("repeated")._value.get() == 550


async def test_a_receipt_that_comes_before_sent_counts_and_stays(topic_desk: Desk) -> None:
    topic_desk.tell([status("k", Status.OPENED, NOW + 20, created_at=NOW)])
    async with topic_desk.store():
        await topic_desk.until(EVENTS, 1)
        topic_desk.tell([status("k", at=NOW + 10, created_at=NOW)])
        await topic_desk.until(EVENTS, 2)
    (known,) = await History(topic_desk.pool).of_user("ann")
    assert (known.status, known.sent_at is not None, known.read_at is not None) == (Status.OPENED, True, True)


async def test_what_cannot_be_stored_is_kept_apart_untouched_and_holds_nothing_up(topic_desk: Desk) -> None:
    encode = topic_desk.codec.encode_status
    bad = [
        b"not avro",
        b'{"status": "sent"}',
        encode(status(notification_id="n-1")),
        encode(status("nul", source="sh\0op")),
        encode(status("late", occurred_at=2**60)),
        b"\0\0\0\x7f\xffunknown schema",
    ]
    topic_desk.produce([("ann", value) for value in [*bad, encode(status("good"))]])
    async with topic_desk.store() as metrics:
        await topic_desk.until(EVENTS, 1)
        await topic_desk.until("SELECT count(*) FROM store_rejected", len(bad))
    assert {v for (v,) in await topic_desk.rows("SELECT value FROM store_rejected")} == set(bad)
    assert metrics.store_records.labels("rejected")._value.get() == len(bad)
    assert OffsetReader(topic_desk.settings.kafka).lag_of(STORE_GROUP) == 0


async def test_a_time_that_no_day_covers_is_kept_and_shown(topic_desk: Desk) -> None:
    topic_desk.tell([status("k", at=NOW + 400 * DAY)])
    async with topic_desk.store():
        await topic_desk.until("SELECT count(*) FROM status_events_other", 1)
    async with topic_desk.store() as metrics:
        while metrics.store_rows_apart.labels("status_events")._value.get() != 1:  # noqa: ASYNC110  # until timeout
            await asyncio.sleep(0.05)
        assert metrics.store_partitions_ahead._value.get() == topic_desk.settings.store.days_ahead


async def test_an_event_is_told_from_the_store_as_the_topic_told_it(topic_desk: Desk) -> None:
    told = [
        status("k", Status.RETRYING, NOW, created_at=NOW, reason=Reason.THROTTLED),
        status("k", Status.SENT, NOW + 5, created_at=NOW, attempt=2, in_doubt=True),
        status("k", Status.SUPPRESSED, NOW + 6, created_at=NOW, channel=None),
        status("k", Status.SENT, NOW + 7, created_at=NOW, channel=Channel.EMAIL),
    ]
    topic_desk.tell([*told, status("other")])
    async with topic_desk.store():
        await topic_desk.until(EVENTS, 5)
    assert await History(topic_desk.pool).of_event("evt-k") == told


async def test_a_store_killed_again_and_again_loses_and_doubles_nothing(topic_desk: Desk) -> None:
    """Real processes, kill -9 at random moments, the topic holding each third record twice."""
    rng = random.Random(7)
    users = [f"u{n}" for n in range(50)]
    told = []
    for n in range(20_000):
        user = users[n % 50]
        told.append(status(f"k{n}", at=NOW + n, recipient_id=user, created_at=NOW - n))
        if n % 3 == 0:
            told.append(told[rng.randrange(len(told))])
    topic_desk.tell(told)
    process = _store(topic_desk.settings)
    try:
        for kill in range(KILLS):
            await _until_more_than(topic_desk, kill * 4_000)
            await asyncio.sleep(rng.uniform(0.01, 0.1))
            process.kill()
            process.wait()
            process = _store(topic_desk.settings)
        await topic_desk.until("SELECT count(*) FROM history", 20_000, 90)
    finally:
        process.terminate()
        assert await asyncio.to_thread(process.wait, 20) == 0
    assert await topic_desk.number(COUNTED) == 20_000
    ids = {notification_id(f"k{n}", users[n % 50], "push") for n in range(20_000)}
    assert {str(found) for (found,) in await topic_desk.rows("SELECT notification_id FROM status_events")} == ids


async def _until_more_than(desk: Desk, rows: int) -> None:
    while await desk.number(EVENTS) <= rows:  # noqa: ASYNC110  # another process writes it
        await asyncio.sleep(0.02)


def _store(settings: Settings) -> "subprocess.Popen[bytes]":
    environment = {
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "PIPELINE_POSTGRES__DSN": settings.postgres.dsn.get_secret_value(),
        "PIPELINE_STORE__BATCH": "300",
        "PIPELINE_HTTP__PORT": "0",
        "PIPELINE_KAFKA__GROUP_PROTOCOL": "classic",  # the only one whose members may say how soon they are missed
        "PIPELINE_KAFKA__CLIENT": '{"session.timeout.ms": "6000"}',
    }
    return subprocess.Popen([sys.executable, "-m", "pipeline.cli", "store"], env=os.environ | environment)
