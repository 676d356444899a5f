import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from typer.testing import CliRunner, Result

from pipeline.cli.root import app
from pipeline.config import KafkaSettings
from pipeline.events.codec import Codec
from pipeline.kafka.client import consumer_config
from pipeline.kafka.names import INGEST
from pipeline.kafka.topology import apply_topics

pytestmark = pytest.mark.broker


@pytest.fixture
def kafka(kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    apply_topics(kafka_settings, partitions=2, replication_factor=1)
    monkeypatch.setenv("PIPELINE_KAFKA__BOOTSTRAP_SERVERS", kafka_settings.bootstrap_servers)
    return kafka_settings


def line(number: int, **changes: Any) -> str:
    event = {
        "event_id": f"evt_{number}",
        "event_type": "order.shipped",
        "recipient_id": f"user_{number}",
        "channels": ["push"],
        "priority": "high",
        "data": {"order_id": number},
        "idempotency_key": f"key_{number}",
        "created_at": "2026-02-23T10:00:00Z",
    }
    return json.dumps({**event, **changes})


@pytest.fixture
def new_records(kafka: KafkaSettings) -> Iterator[Any]:
    """The records that come after the fixture was asked for: key and event id, in order of event ids."""
    consumer = Consumer(consumer_config(kafka, "test-produce"))
    parts = [TopicPartition(INGEST, number) for number in range(2)]
    ends = [consumer.get_watermark_offsets(part, timeout=10)[1] for part in parts]
    consumer.assign([TopicPartition(INGEST, part.partition, end) for part, end in zip(parts, ends, strict=True)])

    def read(count: int) -> list[tuple[bytes | None, str]]:
        messages = consumer.consume(count, timeout=10)
        codec = Codec.open()
        return sorted(((m.key(), codec.decode_event(m.value()).event.event_id) for m in messages), key=lambda p: p[1])

    yield read
    consumer.close()


def produce(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["produce", *arguments])


def test_events_arrive_keyed_by_their_recipient(tmp_path: Path, new_records: Any) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(f"{line(1)}\n\n{line(2)}")
    result = produce(str(file), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) | {"seconds": 0} == {"produced": 2, "rejected": 0, "seconds": 0}
    assert new_records(2) == [(b"user_1", "evt_1"), (b"user_2", "evt_2")]


def test_a_bad_line_is_told_and_the_good_ones_are_produced(tmp_path: Path, new_records: Any) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join([line(1), line(2, channels=["fax"], x=1), "nonsense", line(4)]) + "\n")
    result = produce(str(file), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["produced"] == 2
    told = result.stderr.splitlines()
    assert "line 2: /channels/0: is none of push, email, sms, in_app" in told
    assert "line 2: /x: is no field of an event: put it into data, or leave it out" in told
    assert told[-1].startswith("line 3: the event: is not JSON")
    assert new_records(2) == [(b"user_1", "evt_1"), (b"user_4", "evt_4")]


def test_a_rate_is_kept(tmp_path: Path, kafka: KafkaSettings) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("".join(line(number) + "\n" for number in range(20)))
    started = time.monotonic()
    assert produce(str(file), "--rate", "20").exit_code == 0
    assert 0.9 <= time.monotonic() - started < 3


def test_a_slow_pipe_is_not_held_back(kafka: KafkaSettings, new_records: Any) -> None:
    environment = {**os.environ, "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    command = [sys.executable, "-m", "pipeline.cli", "produce", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment) as process:
        watchdog = threading.Timer(30, process.kill)
        watchdog.start()
        assert process.stdin
        process.stdin.write(line(7).encode() + b"\n")
        process.stdin.flush()
        assert new_records(1) == [(b"user_7", "evt_7")]
        assert process.poll() is None
        process.stdin.close()
        assert process.wait() == 0
        watchdog.cancel()


def test_a_file_that_is_not_there_is_told(kafka: KafkaSettings) -> None:
    result = produce("no-such-file.jsonl")
    assert result.exit_code == 1
    assert "no-such-file.jsonl" in str(result.exception)
