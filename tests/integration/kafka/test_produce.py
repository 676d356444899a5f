import json
import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from typer.testing import CliRunner, Result

from pipeline.cli.root import app
from pipeline.config import KafkaSettings
from pipeline.events.codec import Codec
from pipeline.kafka.client import consumer_config
from pipeline.kafka.names import INGEST
from pipeline.kafka.topology import apply_topics, missing_topics

pytestmark = pytest.mark.broker


@pytest.fixture
def kafka(kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    if missing_topics(kafka_settings, [INGEST]):
        apply_topics(kafka_settings, partitions=4, replication_factor=1)
    monkeypatch.setenv("PIPELINE_KAFKA__BOOTSTRAP_SERVERS", kafka_settings.bootstrap_servers)
    return kafka_settings


RUN = uuid.uuid4().hex
"""Tells these events from those of other tests on the same broker."""


def line(name: str, **changes: Any) -> str:
    event = {
        "event_id": f"{RUN}-{name}",
        "event_type": "order.shipped",
        "recipient_id": f"user-{name}",
        "channels": ["push"],
        "priority": "high",
        "data": {"order_id": name},
        "idempotency_key": f"key-{name}",
        "created_at": "2026-02-23T10:00:00Z",
    }
    return json.dumps({**event, **changes})


def arrived(kafka: KafkaSettings, prefix: str, count: int) -> list[tuple[bytes | None, str]]:
    """Key and name of the events named so, in order of their names; waits until there are `count` of them."""
    codec = Codec.open()
    found: list[tuple[bytes | None, str]] = []
    consumer = Consumer(consumer_config(kafka, "test-produce"))
    numbers = consumer.list_topics(INGEST, timeout=10).topics[INGEST].partitions
    consumer.assign([TopicPartition(INGEST, number, OFFSET_BEGINNING) for number in numbers])
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        for message in consumer.consume(500, timeout=0.5):
            event_id = codec.decode_event(message.value()).event.event_id
            if event_id.startswith(f"{RUN}-{prefix}"):
                found.append((message.key(), event_id.removeprefix(f"{RUN}-")))
    consumer.close()
    return sorted(found, key=lambda pair: pair[1])


def produce(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["produce", *arguments])


def test_events_arrive_keyed_by_their_recipient(tmp_path: Path, kafka: KafkaSettings) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(f"{line('a1')}\n\n{line('a2')}")
    result = produce(str(file), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) | {"seconds": 0} == {"produced": 2, "rejected": 0, "seconds": 0}
    assert arrived(kafka, "a", 2) == [(b"user-a1", "a1"), (b"user-a2", "a2")]


def test_a_bad_line_is_told_and_the_good_ones_are_produced(tmp_path: Path, kafka: KafkaSettings) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join([line("b1"), line("b2", channels=["fax"], x=1), "nonsense", line("b4")]) + "\n")
    result = produce(str(file), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["produced"] == 2
    told = result.stderr.splitlines()
    assert "line 2: /channels/0: is none of push, email, sms, in_app" in told
    assert "line 2: /x: is no field of an event: put it into data, or leave it out" in told
    assert any(text.startswith("line 3: the event: is not JSON") for text in told)
    assert arrived(kafka, "b", 2) == [(b"user-b1", "b1"), (b"user-b4", "b4")]


def test_a_rate_is_not_exceeded(tmp_path: Path, kafka: KafkaSettings) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("".join(line(f"c{number}") + "\n" for number in range(20)))
    started = time.monotonic()
    assert produce(str(file), "--rate", "20").exit_code == 0
    assert time.monotonic() - started >= 0.95


def test_a_slow_pipe_is_not_held_back(kafka: KafkaSettings) -> None:
    environment = {**os.environ, "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    command = [sys.executable, "-m", "pipeline.cli", "produce", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stdin
        process.stdin.write(line("d1").encode() + b"\n")
        process.stdin.flush()
        assert arrived(kafka, "d", 1) == [(b"user-d1", "d1")]
        assert process.poll() is None
        process.stdin.close()
        assert process.wait() == 0
        watchdog.cancel()


def test_a_file_that_is_not_there_is_told(kafka: KafkaSettings) -> None:
    result = produce("no-such-file.jsonl")
    assert result.exit_code == 1
    assert "no-such-file.jsonl" in str(result.exception)
