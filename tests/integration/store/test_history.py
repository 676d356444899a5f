"""A user's history comes newest first, page by page, whole; and neither it nor one event looks through any table."""

from datetime import UTC, datetime, timedelta

from pipeline.events.vocabulary import Channel
from pipeline.storage.history import Cursor, History
from pipeline.storage.scripts import sql
from tests.integration.store.conftest import DAY, NOW, Desk, fill, status


async def test_pages_follow_one_another_without_gap_or_repeat(desk: Desk) -> None:
    times = [NOW, NOW, NOW, NOW - DAY, NOW - 6 * DAY, NOW - 20 * DAY, NOW - 80 * DAY, NOW - 80 * DAY]
    await fill(desk.pool, [status(f"k{n}", at=at, created_at=at) for n, at in enumerate(times)])
    await fill(desk.pool, [status("other", recipient_id="bob")])
    history, found, after = History(desk.pool), list[str](), None
    while page := await history.of_user("ann", after=after, limit=3):
        found += [n.event_id for n in page]
        after = Cursor(page[-1].created_at, page[-1].notification_id)
    assert sorted(found) == [f"evt-k{n}" for n in range(8)]
    assert set(found[:3]) == {"evt-k0", "evt-k1", "evt-k2"}
    assert found[3:6] == ["evt-k3", "evt-k4", "evt-k5"]


async def test_a_channel_can_be_asked_for_alone(desk: Desk) -> None:
    await fill(desk.pool, [status("a", channel=Channel.SMS), status("b", channel=None)])
    history = History(desk.pool)
    assert [n.channel for n in await history.of_user("ann", channel=Channel.SMS)] == [Channel.SMS]
    assert {n.channel for n in await history.of_user("ann")} == {Channel.SMS, None}


async def test_plans_use_the_indexes_of_the_days_that_are_asked_for(desk: Desk) -> None:
    everybody = [status(f"k{n}", at=NOW - n % 10 * DAY, recipient_id=f"u{n % 999}") for n in range(20_000)]
    await fill(desk.pool, everybody)
    await desk.pool.execute("ANALYZE history, status_events")
    now = datetime.fromtimestamp(NOW / 1000, UTC)
    user = await _plan(desk, "history_of_user", "text, timestamptz, timestamptz, timestamptz, uuid, text, int",
                       f"'u1', '{now - timedelta(days=7)}', '{now}', '{now}', 'ffffffff-ffff-ffff-ffff-ffffffffffff', NULL, 20")  # fmt: skip
    assert "Seq Scan" not in user
    assert 1 <= user.count("Index Scan") <= 8
    event = await _plan(desk, "statuses_of_event", "text, timestamptz, timestamptz",
                        f"'evt-k1', '{now - timedelta(days=2)}', '{now}'")  # fmt: skip
    assert "Seq Scan" not in event
    assert 1 <= event.count("Scan using") + event.count("Bitmap Index Scan") <= 5


async def _plan(desk: Desk, name: str, types: str, values: str) -> str:
    async with desk.pool.acquire() as connection:
        await connection.execute(f"PREPARE asked ({types}) AS {sql(name)}")
        rows = await connection.fetch(f"EXPLAIN EXECUTE asked ({values})")
        await connection.execute("DEALLOCATE asked")
    return "\n".join(row[0] for row in rows)
