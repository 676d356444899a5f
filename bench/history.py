"""``python -m bench.history [--rows N] [--days D]``: one user's history with much of it, as time and as a plan.

Makes the rows with SQL in a database of its own; twenty million take some minutes and 8 GB.
"""

import argparse
import asyncio
import random
import time
from datetime import UTC, datetime, timedelta

from pipeline.config import PostgresSettings
from pipeline.embedded.stack import Stack
from pipeline.storage.history import Cursor, History
from pipeline.storage.migrate import migrate
from pipeline.storage.postgres import Pool, open_pool
from pipeline.storage.scripts import sql
from pipeline.store.upkeep import add_days

FILL = """
    INSERT INTO history
    SELECT at, gen_random_uuid(), 'user-' || floor(random() * $1)::int, 'evt-' || n, 'order.shipped', 'orders', 'shop',
        (ARRAY['push', 'email', 'sms', 'in_app'])[1 + n % 4], 'normal', 'sent', 'accepted', 'fcm', 1, false, 1, at, at,
        NULL, NULL, NULL, NULL
    FROM (SELECT n, $2::timestamptz + random() * interval '1 day' AS at FROM generate_series(1, $3::int) AS n) AS made
"""
QUERIES = 2_000


async def measure(rows: int, days: int, users: int) -> None:
    with Stack.open() as stack:
        dsn = stack.postgres.dsn
        migrate(dsn)
        settings = PostgresSettings.model_validate({"dsn": dsn})
        async with await open_pool(settings) as pool:
            await _fill(pool, rows, days, users)
            await _ask(pool, users)
            await _explain(pool, users)


async def _fill(pool: Pool, rows: int, days: int, users: int) -> None:
    last = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = last - timedelta(days=days - 1)
    await add_days(pool, first.date(), last.date())
    began = time.perf_counter()
    for day in range(days):
        await pool.execute(FILL, users, first + timedelta(days=day), rows // days, timeout=600)
    async with pool.acquire() as connection:
        await connection.execute("VACUUM ANALYZE history", timeout=1_200)
    print(f"{rows:,} rows over {days} partitions, {users:,} users, made in {time.perf_counter() - began:.0f} s")


async def _ask(pool: Pool, users: int) -> None:
    """Each a random user: the first page of 20, and the page after it."""
    history, rnd = History(pool), random.Random(1)
    times: dict[str, list[float]] = {"first page": [], "second page": [], "few (sparse user)": []}
    for _ in range(QUERIES):
        user = f"user-{rnd.randrange(users)}"
        began = time.perf_counter()
        page = await history.of_user(user, limit=20)
        times["first page"].append(time.perf_counter() - began)
        after = Cursor(page[-1].created_at, page[-1].notification_id)
        began = time.perf_counter()
        await history.of_user(user, after=after, limit=20)
        times["second page"].append(time.perf_counter() - began)
        began = time.perf_counter()
        await history.of_user(f"nobody-{rnd.random()}", limit=20)
        times["few (sparse user)"].append(time.perf_counter() - began)
    for name, taken in times.items():
        taken.sort()
        p50, p99 = taken[len(taken) // 2] * 1000, taken[len(taken) * 99 // 100] * 1000
        print(f"{name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, {len(taken)} queries")


async def _explain(pool: Pool, users: int) -> None:
    now = datetime.now(UTC)
    query = sql("history_of_user").replace("$1", f"'user-{users // 2}'").replace("$6::text", "NULL::text")
    values = {"$2": now - timedelta(days=7), "$3": now, "$4": now}
    for place, at in values.items():
        query = query.replace(place, f"'{at.isoformat()}'")
    query = query.replace("$5", "'ffffffff-ffff-ffff-ffff-ffffffffffff'").replace("$6", "''").replace("$7", "20")
    for (line,) in await pool.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) {query}"):
        print(line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--users", type=int, default=10_000)
    given = parser.parse_args()
    asyncio.run(measure(given.rows, given.days, given.users))
