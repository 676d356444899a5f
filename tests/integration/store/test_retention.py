"""What its category is kept no longer for is deleted, of inboxes and of the store, and nothing else."""

from datetime import timedelta

import pytest

from pipeline.config import RetentionSettings
from pipeline.storage.postgres import Pool
from pipeline.store.retention import Retention
from pipeline.store.rows import event_row
from pipeline.store.upkeep import add_days, partitions, today
from pipeline.store.writer import Batch, Writer
from tests.integration.store.conftest import DAY, NOW, status


@pytest.mark.parametrize(("days", "left"), [({"news": 5}, "bill,bill,news"), ({"*": 5, "bill": 30}, "bill,bill,news")])
async def test_each_category_is_kept_as_long_as_the_setting_says(pool: Pool, days: dict[str, int], left: str) -> None:
    await add_days(pool, today() - timedelta(days=12), today())
    for n, (category, age) in enumerate([("news", 1), ("news", 10), ("bill", 1), ("bill", 10)]):
        told = status(f"k{n}", at=NOW - age * DAY, category=category)
        await Writer(pool).write(Batch([(event_row(told), 0)]))
        await pool.execute(
            "INSERT INTO inbox (notification_id, user_id, event_type, category, title, body, created_at) "
            "VALUES (gen_random_uuid(), 'ann', 't', $1, 'a', 'b', now() - make_interval(days => $2))",
            category,
            age,
        )
    retention = Retention(pool, RetentionSettings(inbox=days, history=days))
    found = {p.name: p.day for p in await partitions(pool)}
    assert await retention.once(today(), found) == 3
    for table in ("inbox", "history", "status_events"):
        query = f"SELECT string_agg(category, ',' ORDER BY category) FROM {table}"  # noqa: S608
        assert await pool.fetchval(query) == left, table
    assert await retention.once(today(), found) == 0
