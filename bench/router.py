"""The router beside a naive Faust router and beside the shortest possible copy loop."""

import asyncio
import random
import time

from bench.cluster import Run, bench_line, end_offsets, make_topics, produce_all, run_peer, start_group_at, watch
from bench.figures import Figure, figure
from pipeline.config import KafkaSettings, Settings
from pipeline.demo.run import load_users
from pipeline.embedded.line import Line, Plan
from pipeline.events.codec import Codec
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Priority
from pipeline.kafka.names import DECISIONS, INGEST
from pipeline.kafka.producer import Record
from pipeline.storage.postgres import open_pool

USERS = 10_000
MANY_USERS = 1_000_000
"""Known beside those who get something: an event must cost no more for them."""

EVENTS = 40_000
NAIVE_EVENTS = 4_000
ROUNDS = 3


def run() -> list[Figure]:
    """Rates and CPU, the median of `ROUNDS` rounds in which ours and the peers take turns."""
    with bench_line(Plan(simulators=None, workers=())) as line:
        line.await_ready()
        kafka = line.settings.kafka
        make_topics(kafka, ["bench.push", "bench.email", "bench.in_app"])
        users = asyncio.run(load_users(line.settings, USERS))
        _round(line, kafka, users, "warm-up", naive=False)
        rounds = [_round(line, kafka, users, str(number), naive=True) for number in range(ROUNDS)]
        asyncio.run(_make_known(line.settings, MANY_USERS))
        crowded = [_round(line, kafka, users, f"crowded-{number}", naive=False)[0] for number in range(ROUNDS)]
    ours, copy, naive = (_median([r[i] for r in rounds]) for i in range(3))
    return [
        figure("router.rate_vs_naive", "events/s", ours.rate, naive.rate, "Faust, each call awaited"),
        figure("router.cpu_vs_copy", "CPU µs/event", ours.cpu_us, copy.cpu_us, "confluent copy loop + Redis"),
        figure("router.cost_vs_users", "CPU µs/event", _median(crowded).cpu_us, ours.cpu_us, f"{USERS:,} known users"),
        figure("router.rate_vs_copy", "events/s", ours.rate, copy.rate, "confluent copy loop + Redis"),
    ]


def _round(line: Line, kafka: KafkaSettings, users: list[str], tag: str, *, naive: bool) -> tuple[Run, Run, Run]:
    """One round: ours first, then the peers on the very same records."""
    start = end_offsets(kafka, INGEST)
    line.services["router"].stop()
    produce_all(kafka, _events(users, tag))
    ours = _routed(line, kafka)
    copy = _peer(line, kafka, "copy_loop", tag, start, EVENTS)
    return ours, copy, _peer(line, kafka, "naive_faust", tag, start, NAIVE_EVENTS) if naive else copy


def _routed(line: Line, kafka: KafkaSettings) -> Run:
    router = line.services["router"]
    router.start()
    return watch(kafka, router, DECISIONS, EVENTS)


def _peer(line: Line, kafka: KafkaSettings, module: str, tag: str, start: list[int], events: int) -> Run:
    group = f"bench-{module}-{tag}"
    start_group_at(kafka, group, INGEST, start)
    return run_peer(line, module, environment={"BENCH_GROUP": group, "BENCH_EVENTS": str(events)})


async def _make_known(settings: Settings, count: int) -> None:
    """So many more who get nothing."""
    async with await open_pool(settings.postgres) as pool:
        await pool.execute(
            "INSERT INTO users (user_id, email) "
            "SELECT 'known-' || n, 'known-' || n || '@example.com' FROM generate_series(1, $1::int) AS n",
            count,
            timeout=300,
        )


def _events(users: list[str], tag: str) -> list[Record]:
    rnd, codec = random.Random(tag), Codec.open()
    records = []
    for number in range(EVENTS):
        user = rnd.choice(users)
        event = NotificationRequested(
            event_id=f"evt_{tag}_{number}",
            event_type="order.shipped",
            recipient_id=user,
            channels=[Channel.PUSH, Channel.EMAIL, Channel.IN_APP],
            priority=Priority.HIGH,
            data=f'{{"order_id":"ORD-{number}","tracking_url":"https://example.com/track/ORD-{number}"}}',
            idempotency_key=f"order_shipped_{tag}_{number}",
            created_at=time.time_ns() // 1_000_000,
            source="bench",
        )
        records.append(Record(INGEST, user.encode(), codec.encode_event(event)))
    return records


def _median(runs: list[Run]) -> Run:
    return sorted(runs, key=lambda run: run.rate)[len(runs) // 2]
