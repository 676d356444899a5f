"""Recorded and live traffic under another policy: what is told, and that nothing is written."""

import asyncio
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from redis.asyncio import Redis

from pipeline.config import KafkaSettings, PostgresSettings, Settings
from pipeline.events.codec import Codec
from pipeline.events.records import NotificationRequested
from pipeline.kafka.client import consumer_config, producer_config
from pipeline.kafka.names import ALL_TOPICS, INGEST, SHADOW_GROUP
from pipeline.kafka.reader import read_topics
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.runtime import Runtime
from pipeline.storage.repositories import Repositories
from pipeline.storage.users import UserProfile
from pipeline.whatif.report import Report, tell
from pipeline.whatif.shadow import shadow_service

pytestmark = pytest.mark.broker

HOUR = 3_600_000
BEGAN = time.time_ns() // 1_000_000 // HOUR * HOUR - 40 * HOUR
"""Young enough for the topic's retention."""

PRESENT = """
version: present
defaults: {category: orders}
categories: {orders: {}}
event_types:
  order.shipped: {category: orders, channels: [in_app]}
  comment: {category: orders, channels: [in_app], caps: [{name: c, limit: 1, window: 1h, scope: [type]}]}
"""
CANDIDATE = PRESENT.replace("version: present", "version: candidate").replace("limit: 1", "limit: 5")


@pytest.fixture
def catalogues(tmp_path: Path) -> tuple[Path, Path]:
    present, candidate = tmp_path / "present.yaml", tmp_path / "candidate.yaml"
    present.write_text(PRESENT)
    candidate.write_text(CANDIDATE)
    return present, candidate


def produce(kafka: KafkaSettings, *events: tuple[str, str, int]) -> None:
    """(type, key, hours after BEGAN), all for anna."""
    producer, codec = Producer(producer_config(kafka)), Codec.open()
    for event_type, key, hours in events:
        at = BEGAN + hours * HOUR
        event = NotificationRequested(
            event_id=f"evt-{key}", event_type=event_type, recipient_id="anna", channels=[], priority=None, data="{}",
            idempotency_key=key, created_at=at,
        )  # fmt: skip
        producer.produce(INGEST, codec.encode_event(event), b"anna", timestamp=at)
    producer.flush()


async def anna(people: Repositories) -> None:
    await people.users.put(UserProfile(user_id="anna", email="anna@example.com"))


def iso(hours: float) -> str:
    return datetime.fromtimestamp(BEGAN / 1000 + hours * 3600, UTC).isoformat()


def what_if(kafka: KafkaSettings, postgres: PostgresSettings, catalogues: tuple[Path, Path], *more: str) -> str:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    environment = {
        **ours,
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "PIPELINE_POSTGRES__DSN": postgres.dsn.get_secret_value(),
        "PIPELINE_CATALOGUE__PATH": str(catalogues[0]),
    }
    command = [sys.executable, "-m", "pipeline.cli", "what-if", "--policy", str(catalogues[1]), *more]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_differences_of_a_span_are_told_with_the_counters_of_what_was_before_it(
    empty_topics: KafkaSettings,
    postgres_settings: PostgresSettings,
    repositories: Repositories,
    catalogues: tuple[Path, Path],
) -> None:
    await anna(repositories)
    produce(empty_topics, ("comment", "0", -5), ("comment", "1", 0), ("comment", "2", 0), ("order.shipped", "3", 0))
    produce(empty_topics, ("comment", "4", 1), ("comment", "5", 30))
    span = ("--from", iso(0), "--to", iso(2))
    report = json.loads(what_if(empty_topics, postgres_settings, catalogues, *span, "--json"))
    assert [report[side].partition("+")[0] for side in ("present", "candidate")] == ["present", "candidate"]
    assert (report["decided"], report["changed"], report["warm_up"]) == (4, 1, 0)
    (group,) = report["differences"]
    assert (group["event_type"], group["channel"], group["count"]) == ("comment", "in_app", 1)
    assert (group["present"], group["candidate"]) == (
        ["suppress", "frequency_cap", ""],
        ["dispatch", "allowed", "normal"],
    )
    assert group["examples"][0]["event_id"] == "evt-2"
    assert report["events_per_second"] > 0
    told = "\n".join(tell(msgspec.json.decode(msgspec.json.encode(report), type=Report), 20))
    assert "1 × comment on in_app" in told
    assert "policy present+" in told
    later = json.loads(
        what_if(empty_topics, postgres_settings, catalogues, "--from", iso(0.5), "--json", "--warm-up", "1h")
    )
    assert (later["decided"], later["warm_up"]) == (2, 3)


async def test_the_shadow_tells_by_metrics_and_log_alone(
    empty_topics: KafkaSettings,
    postgres_settings: PostgresSettings,
    repositories: Repositories,
    redis: Redis,
    catalogues: tuple[Path, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    await anna(repositories)
    produce(empty_topics, ("comment", "1", 0), ("comment", "2", 0), ("comment", "3", 0))
    before = await redis.dbsize()
    settings = Settings(
        kafka=empty_topics,
        postgres=postgres_settings,
        catalogue={"path": catalogues[0]},
    )
    runtime = Runtime(settings, Health("service"), Metrics())
    with caplog.at_level("INFO", "pipeline.whatif.shadow"):
        running = asyncio.ensure_future(shadow_service(catalogues[1])(runtime))
        count = runtime.metrics.registry.get_sample_value
        different = (
            "notifications_shadow_differences_total",
            {"channel": "in_app", "present": "suppress", "candidate": "dispatch"},
        )
        async with asyncio.timeout(120):
            while count(*different) != 2:  # noqa: ASYNC110  # a counter has no event
                await asyncio.sleep(0.05)
        runtime.stopping.set()
        await running
    assert count("notifications_shadow_events_total", {"result": "same"}) == 1
    assert len([r for r in caplog.records if "would be dispatch" in r.getMessage()]) == 1
    assert "anna" not in caplog.text
    assert await redis.dbsize() == before
    others = [topic for topic in ALL_TOPICS if topic != INGEST]
    assert [m for batch in read_topics(empty_topics, others) for m in batch] == []
    group = Consumer(consumer_config(empty_topics, SHADOW_GROUP))
    assert sum(max(0, p.offset) for p in group.committed([TopicPartition(INGEST, n) for n in range(3)])) == 3
    group.close()
