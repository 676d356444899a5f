"""The store beside a bare COPY of the same rows into a table of the same shape; and what one user's history costs."""

import asyncio
import random
import time
from statistics import median
from uuid import UUID

from bench.cluster import bench_line, produce_all
from bench.figures import Figure, figure
from pipeline.embedded.line import Line, Plan
from pipeline.embedded.processes import Child
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import DeliveryStatus
from pipeline.events.vocabulary import Channel, Priority, Reason, Status
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.producer import Record
from pipeline.storage.postgres import Pool, open_pool
from pipeline.store.rows import EventRow, event_row

RECORDS = 60_000
ROUNDS = 3
BATCH = 5_000
PEER_TABLE = """
    CREATE TABLE IF NOT EXISTS bench_copy (LIKE status_events INCLUDING ALL);
    TRUNCATE bench_copy;
"""


def run() -> list[Figure]:
    """Rows a second, the median of `ROUNDS`; the peer copies the rows that the store has just taken over."""
    with bench_line(Plan(simulators=None, workers=())) as line:
        line.await_ready()
        rounds = [asyncio.run(_round(line, number)) for number in range(ROUNDS)]
    ours, peer = (median(r[i] for r in rounds) for i in (0, 1))
    return [figure("store.copy", "rows/s", ours, peer, "bare COPY into the same table and index")]


async def _round(line: Line, number: int) -> tuple[float, float]:
    statuses = list(_statuses(number))
    codec = Codec.open()
    records = [Record(DELIVERY_STATUS, s.recipient_id.encode(), codec.encode_status(s)) for s in statuses]
    produce_all(line.settings.kafka, records)
    async with await open_pool(line.settings.postgres) as pool:
        ours = await _ours(line, pool, len(statuses) * number, len(statuses))
        return ours, await _peer(pool, [event_row(s) for s in statuses])


async def _ours(line: Line, pool: Pool, before: int, count: int) -> float:
    """From the first batch in the tables to the last; reading the topic, decoding and merging are in it."""
    child = line.stack.supervisor.python(
        f"store-{before}", "-m", "pipeline.cli", "store", environment=_environment(line)
    )
    try:
        first, began = await _past(pool, before, child), time.perf_counter()
        last = first
        while last < before + count:
            await asyncio.sleep(0.05)
            last = await _stored(pool)
        return (last - first) / (time.perf_counter() - began)
    finally:
        child.stop()


def _environment(line: Line) -> dict[str, str]:
    return {**line.environment, "PIPELINE_HTTP__PORT": "0", "PIPELINE_STORE__BATCH": str(BATCH)}


async def _past(pool: Pool, before: int, child: Child) -> int:
    while (stored := await _stored(pool)) <= before:
        assert child.running, child.log_tail()
        await asyncio.sleep(0.05)
    return stored


async def _stored(pool: Pool) -> int:
    return int(
        await pool.fetchval("SELECT coalesce(sum(count), 0)::bigint FROM status_counts WHERE category = 'bench'")
    )


async def _peer(pool: Pool, rows: list[EventRow]) -> float:
    """In batches of the same size, each a transaction."""
    await pool.execute(PEER_TABLE)
    began = time.perf_counter()
    async with pool.acquire() as connection:
        for start in range(0, len(rows), BATCH):
            await connection.copy_records_to_table("bench_copy", records=rows[start : start + BATCH])
    return len(rows) / (time.perf_counter() - began)


def _statuses(number: int) -> list[DeliveryStatus]:
    """Two of three are ``sent``, the third a receipt of one of them; most of the last hours."""
    rnd, now = random.Random(number), time.time_ns() // 1_000_000
    made: list[DeliveryStatus] = []
    for n in range(RECORDS):
        if n % 3 == 2:
            sent = made[rnd.randrange(max(0, n - 3_000), n)]
            made.append(_status(sent.idempotency_key, sent.recipient_id, sent.created_at, now + n, Status.DELIVERED))
        else:
            user, created = f"user-{rnd.randrange(10_000)}", now - rnd.randrange(7_200_000)
            made.append(_status(f"order_shipped_{number}_{n}", user, created, created + 900, Status.SENT))
    return made


def _status(key: str, user: str, created: int, at: int, word: Status) -> DeliveryStatus:
    return DeliveryStatus(
        notification_id=notification_id(key, user, Channel.PUSH),
        event_id=str(UUID(int=hash(key) % 2**128)),
        idempotency_key=key,
        recipient_id=user,
        event_type="order.shipped",
        category="bench",
        source="shop",
        channel=Channel.PUSH,
        priority=Priority.NORMAL,
        status=word,
        reason=Reason.ACCEPTED,
        rule="allowed",
        policy_version="2026-11-01",
        provider="fcm",
        provider_message_id=f"projects/p/messages/{key}",
        attempt=1,
        in_doubt=False,
        occurred_at=at,
        created_at=created,
        trace_id="0af7651916cd43dd8448eb211c80319c",
    )
