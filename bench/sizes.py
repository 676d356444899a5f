"""What a notification weighs in Kafka, in Redis and in PostgreSQL: the demo's mix of events through the whole line."""

import asyncio
import time
from dataclasses import dataclass

import msgspec
import psycopg
from confluent_kafka import Message
from redis import Redis

from bench.cluster import bench_line
from bench.figures import Figure, figure
from pipeline.accounts.take import take_balance
from pipeline.demo.run import load_users
from pipeline.demo.traffic import produce_burst
from pipeline.embedded.line import Line, Plan
from pipeline.errors import MalformedRecord, Unavailable
from pipeline.events.canonical import CanonicalJson
from pipeline.events.codec import Codec
from pipeline.events.records import NotificationRequested
from pipeline.events.schemas import SchemaBook
from pipeline.kafka.names import DECISIONS, DELIVERY_STATUS, DISPATCH_TOPICS, INGEST, STORE_GROUP
from pipeline.kafka.reader import read_topics
from pipeline.observability.lag import OffsetReader
from pipeline.testing.traffic import Traffic

EVENTS = 3_000
USERS = 1_000
QUIET_WITHIN = 180.0
PEER = "the event as JSON"

TABLES = """
    SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
    WHERE relkind = 'r' AND relname ~ '^(history|status_events|status_counts|inbox)'
"""


@dataclass(frozen=True)
class Weight:
    """Records and their bytes: key, value, headers; before the broker's compression."""

    count: int
    bytes: int

    @property
    def mean(self) -> float:
        return self.bytes / self.count


def run() -> list[Figure]:
    """Bytes a record, and bytes a notification (event × channel)."""
    with bench_line(Plan()) as line:
        users = asyncio.run(load_users(line.settings, USERS))
        line.start("store", "store")
        line.await_ready()
        redis_before, tables_before = _redis_bytes(line), _table_bytes(line)
        asyncio.run(produce_burst(line.settings.kafka, Traffic(users, 1), EVENTS, lambda _more: None))
        _settle(line)
        weights = {name: _weigh(line, topics) for name, topics in _TOPICS.items()}
        snapshot = _snapshot_bytes(line)
        redis = _redis_bytes(line) - redis_before - snapshot.bytes
        tables = _table_bytes(line) - tables_before
        peer = _as_json(line)
    notifications = weights["dispatch"].count
    return [
        *(figure(f"size.{name}", "bytes/record", w.mean, peer, PEER) for name, w in weights.items()),
        figure("size.statuses", "records/notification", weights["status"].count / notifications, 1, "one record"),
        figure("size.redis_user", "bytes/user", snapshot.mean, peer, PEER),
        figure("size.redis", "bytes/notification", redis / notifications, peer, PEER),
        figure("size.store", "bytes/notification", tables / notifications, peer, PEER),
    ]


_TOPICS = {
    "ingest": [INGEST],
    "dispatch": list(DISPATCH_TOPICS),
    "decision": [DECISIONS],
    "status": [DELIVERY_STATUS],
}


def _settle(line: Line) -> None:
    """Until every notification is accounted for and in the history."""
    deadline, reader = time.monotonic() + QUIET_WITHIN, OffsetReader(line.settings.kafka)
    while not take_balance(line.settings).quiet or reader.lag_of(STORE_GROUP):
        if time.monotonic() > deadline:
            raise Unavailable(f"the line is not quiet after {QUIET_WITHIN:g} s")
        time.sleep(1)


def _weigh(line: Line, topics: list[str]) -> Weight:
    sizes = [_size(message) for batch in read_topics(line.settings.kafka, topics) for message in batch]
    return Weight(len(sizes), sum(sizes))


def _size(message: Message) -> int:
    headers = sum(len(header[0]) + len(header[1] or b"") for header in message.headers() or [])
    return len(message.key() or b"") + len(message.value() or b"") + headers


def _redis_bytes(line: Line) -> int:
    with Redis.from_url(line.settings.redis.url) as redis:
        return int(redis.info("memory")["used_memory"])


def _snapshot_bytes(line: Line) -> Weight:
    with Redis.from_url(line.settings.redis.url) as redis:
        sizes = [int(redis.memory_usage(key) or 0) for key in redis.scan_iter("u:*", count=1_000)]
    return Weight(len(sizes), sum(sizes))


def _table_bytes(line: Line) -> int:
    with psycopg.connect(line.settings.postgres.dsn.get_secret_value()) as connection:
        row = connection.execute(TABLES).fetchone()
    assert row is not None
    return int(row[0])


def _as_json(line: Line) -> float:
    book, codec = SchemaBook.from_lock(), Codec.open()
    canonical = CanonicalJson(book.schema_of(NotificationRequested.__name__))
    values = [m.value() for batch in read_topics(line.settings.kafka, [INGEST]) for m in batch]
    events = [codec.decode_event(value).event for value in values if value and _is_readable(codec, value)]
    documents = [canonical.to_document(event) for event in events]
    return sum(len(msgspec.json.encode(document)) for document in documents) / len(documents)


def _is_readable(codec: Codec, value: bytes) -> bool:
    """The demo's burst has records among it that nobody can read."""
    try:
        codec.decode_event(value)
    except MalformedRecord:
        return False
    return True
