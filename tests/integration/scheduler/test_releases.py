"""What waits is let go when it is due, once, for its one channel; and what is taken back or replaced is not."""

import asyncio
from collections import Counter

import pytest

from pipeline.config import PaceSettings
from pipeline.events.vocabulary import Channel, Priority, Reason, Status
from pipeline.kafka.names import INGEST
from pipeline.scheduler.times import instant
from pipeline.storage.scripts import sql
from pipeline.storage.users import UserProfile
from pipeline.users.snapshot import PreferenceRow
from tests.integration.scheduler.conftest import MINUTE, NOON, Desk, cancel, deferred

pytestmark = pytest.mark.broker

DAY = 86_400_000


async def test_what_is_due_goes_back_for_its_one_channel_and_says_so(desk: Desk) -> None:
    await desk.store([deferred("k1"), deferred("k2", until=NOON + 2 * MINUTE)])
    releaser = desk.releaser()
    await releaser.tick()
    assert desk.released() == []
    desk.clock[0] = NOON + MINUTE
    await releaser.tick()
    await releaser.tick()
    (event,) = desk.released()
    assert (event.event_id, event.channels, event.idempotency_key) == ("evt-k1", [Channel.EMAIL], "k1")
    headers = dict(desk.written(INGEST)[0].headers() or [])
    assert headers["origin"] == b"released"
    assert headers["deferred.at"] == b"%d" % (NOON - 1_000)
    (told,) = desk.statuses()
    assert (told.status, told.reason, told.occurred_at) == (Status.RELEASED, Reason.QUIET_HOURS, NOON + MINUTE)
    assert told.notification_id == deferred("k1").notification_id


async def test_a_record_that_is_read_again_is_kept_once_before_and_after_its_release(desk: Desk) -> None:
    await desk.store([deferred("k1"), deferred("k1")], offsets=[7, 7])
    desk.clock[0] = NOON + MINUTE
    releaser = desk.releaser()
    await releaser.tick()
    await desk.store([deferred("k1")], offsets=[7])
    await desk.releaser().tick()
    assert len(desk.released()) == 1


async def test_a_second_round_of_the_same_notification_is_a_wait_of_its_own(desk: Desk) -> None:
    await desk.store([deferred("k1")])
    desk.clock[0] = NOON + MINUTE
    await desk.releaser().tick()
    await desk.store([deferred("k1", until=NOON + 2 * MINUTE, deferred_at=NOON + MINUTE)])
    desk.clock[0] = NOON + 2 * MINUTE
    await desk.releaser().tick()
    assert len(desk.released()) == 2
    assert [s.occurred_at for s in desk.statuses()] == [NOON + MINUTE, NOON + 2 * MINUTE]


async def test_the_most_urgent_go_first_at_the_pace_of_their_channel(desk: Desk) -> None:
    desk.pace = PaceSettings(email=50, push=0, sms=0, in_app=0)
    urgent = [deferred(f"h{i}", recipient_id=f"u{i}", priority=Priority.HIGH) for i in range(10)]
    normal = [deferred(f"n{i}", recipient_id=f"v{i}", until=NOON) for i in range(100)]
    await desk.store([*normal, *urgent])
    desk.clock[0] = NOON + MINUTE
    releaser = desk.releaser()
    await releaser.tick()
    first = [event.idempotency_key[0] for event in desk.released()]
    assert first.count("h") == 10
    counts = [len(first)]
    for _ in range(19):
        desk.clock[0] += 200
        await releaser.tick()
        counts.append(len(desk.released()))
    assert counts[-1] == 110
    for i, count in enumerate(counts):
        assert count <= 50 * (0.5 + 0.2 * i) + 1


async def test_two_schedulers_share_a_pace_and_release_nothing_twice(desk: Desk) -> None:
    desk.pace = PaceSettings(email=100, push=0, sms=0, in_app=0)
    await desk.store([deferred(f"n{i}", recipient_id=f"v{i % 17}", until=NOON) for i in range(150)])
    one, two = desk.releaser(), desk.releaser()
    for i in range(9):
        await asyncio.gather(one.tick(), two.tick())
        assert len(desk.released()) <= 100 * (0.5 + 0.2 * i) + 1
        desk.clock[0] += 200
    assert Counter(e.idempotency_key for e in desk.released()) == {f"n{i}": 1 for i in range(150)}


async def test_what_is_taken_back_while_it_waits_ends_as_cancelled_at_once(desk: Desk) -> None:
    await desk.store([deferred("k1"), deferred("k1", channel=Channel.PUSH), deferred("k2")])
    await desk.store([cancel("k1", at=NOON + 5)])
    await desk.releaser().tick()
    told = {(s.channel, s.status, s.reason, s.occurred_at) for s in desk.statuses()}
    assert told == {
        (Channel.EMAIL, Status.CANCELLED, Reason.CANCELLED, NOON + 5),
        (Channel.PUSH, Status.CANCELLED, Reason.CANCELLED, NOON + 5),
    }
    desk.clock[0] = NOON + MINUTE
    await desk.releaser().tick()
    assert [e.idempotency_key for e in desk.released()] == ["k2"]


async def test_a_newer_one_with_its_collapse_key_replaces_what_waits(desk: Desk) -> None:
    await desk.store([deferred("a", data='{"order_id": "7"}')])
    newer = deferred("b", data='{"order_id": "7"}', created_at=NOON, deferred_at=NOON)
    await desk.store([newer, deferred("c", data='{"order_id": "8"}')])
    desk.clock[0] = NOON + MINUTE
    await desk.releaser().tick()
    assert {e.idempotency_key for e in desk.released()} == {"b", "c"}
    (replaced,) = [s for s in desk.statuses() if s.status is Status.CANCELLED]
    assert (replaced.idempotency_key, replaced.reason) == ("a", Reason.REPLACED)


async def test_what_is_deferred_a_second_time_does_not_replace_what_is_newer(desk: Desk) -> None:
    await desk.store([deferred("new", data='{"order_id": "7"}', created_at=NOON)])
    await desk.store([deferred("old", data='{"order_id": "7"}', created_at=NOON - MINUTE, deferred_at=NOON + 9)])
    desk.clock[0] = NOON + MINUTE
    await desk.releaser().tick()
    assert [e.idempotency_key for e in desk.released()] == ["new"]


async def test_quiet_hours_that_end_earlier_now_let_it_go_now(desk: Desk) -> None:
    await desk.user("ann")
    await desk.people.preferences.set("ann", [PreferenceRow("*", "*", None, 0, 82_800, None)])
    night = NOON + 600 * MINUTE
    await desk.store([deferred("k1", until=night), deferred("k2", until=night, reason=Reason.SCHEDULED)])
    await desk.releaser().tick()
    await desk.pool.execute("DELETE FROM quiet_hours_changes")
    await desk.people.users.put(UserProfile(user_id="ann", email="new@example.com"))
    await desk.releaser().tick()
    await desk.people.preferences.set("ann", [PreferenceRow("*", "*", True, 0, 82_800, None)])
    await desk.releaser().tick()
    assert len(desk.released()) == 1  # the first preference came before it waited, and was looked at afterwards
    await desk.store([deferred("k3", until=night)])
    await desk.people.users.put(UserProfile(user_id="ann", email="new@example.com", timezone="Asia/Tokyo"))
    await desk.releaser().tick()
    assert [e.idempotency_key for e in desk.released()] == ["k1", "k3"]


async def test_a_clock_that_is_put_back_holds_up_nothing_but_what_is_not_due(desk: Desk) -> None:
    desk.pace = PaceSettings(email=1_000, push=0, sms=0, in_app=0)
    await desk.store([deferred("k1"), deferred("k2", until=NOON - 90 * MINUTE), deferred("k3", until=NOON - 1)])
    desk.clock[0] = NOON + MINUTE
    releaser = desk.releaser()
    await releaser.tick()
    assert len(desk.released()) == 3
    await desk.store([deferred("k4", until=NOON - 61 * MINUTE), deferred("k5", until=NOON - 10)])
    releaser = desk.releaser()
    desk.clock[0] = NOON - 60 * MINUTE
    for _ in range(2):  # the first look forgets how far the other clock had used up the pace
        await releaser.tick()
        desk.clock[0] += 200
    assert [e.idempotency_key for e in desk.released()[3:]] == ["k4"]


async def test_days_are_made_ahead_and_dropped_once_nothing_waits_in_them(desk: Desk) -> None:
    far = deferred("far", until=NOON + 30 * DAY)
    await desk.store([deferred("k1"), far, deferred("late", until=NOON - 40 * DAY)])
    days = await _days(desk)
    assert len(days) == desk.settings.days_ahead + 1
    desk.clock[0] = NOON + 2 * DAY
    await desk.upkeep().once()
    assert days[0] in await _days(desk)  # k1 still waits there
    await desk.releaser().tick()
    await desk.upkeep().once()
    assert days[0] not in await _days(desk)
    assert await desk.pool.fetchval("SELECT count(*) FROM waiting") == 1
    desk.clock[0] = NOON + 29 * DAY
    await desk.upkeep().once()
    where = await desk.pool.fetchval("SELECT tableoid::regclass::text FROM waiting")
    assert where == f"waiting_{instant(far.until):%Y%m%d}"
    desk.clock[0] = far.until
    await desk.releaser().tick()
    assert [e.idempotency_key for e in desk.released()] == ["late", "k1", "far"]


async def test_a_look_for_what_is_due_reads_an_index_and_no_day_to_come(desk: Desk) -> None:
    query = """EXPLAIN EXECUTE due('email', 2, '%s', '-infinity', 100, '00000000-0000-0000-0000-000000000000')"""
    async with desk.pool.acquire() as connection:
        await connection.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
        await connection.execute("PREPARE due (text, int, timestamptz, timestamptz, int, uuid) AS " + sql("lock_due"))
        plan = "\n".join(row[0] for row in await connection.fetch(query % instant(NOON).isoformat()))
    assert "Seq Scan" not in plan
    assert "Sort  (" not in plan
    today = f"waiting_{instant(NOON):%Y%m%d}"
    assert today in plan
    assert f"waiting_{instant(NOON + DAY):%Y%m%d}" not in plan


async def _days(desk: Desk) -> list[str]:
    rows = await desk.pool.fetch("SELECT relname FROM pg_class WHERE relname ~ '^waiting_[0-9]{8}$' ORDER BY relname")
    return [row["relname"] for row in rows]
