"""The example producers, run as they are: what they send can be read, and lies where ours would."""

import asyncio
import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from pipeline.client import AsyncClient, Event
from pipeline.config import KafkaSettings
from pipeline.events.codec import Codec
from pipeline.events.vocabulary import Kind
from pipeline.kafka.names import INGEST
from pipeline.kafka.reader import read_topics
from pipeline.kafka.topology import apply_topics, missing_topics

pytestmark = pytest.mark.broker

ROOT = Path(__file__).parents[3]
NODE = ROOT / "examples" / "producers" / "node"


@pytest.fixture
def kafka(kafka_settings: KafkaSettings) -> KafkaSettings:
    if missing_topics(kafka_settings, [INGEST]):
        apply_topics(kafka_settings, partitions=4, replication_factor=1)
    return kafka_settings


@pytest.fixture
def node_example(tmp_path: Path) -> Path:
    """The example with its packages installed; skips where there is no Node, or no packages are to be had."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs node and npm")
    for name in ("package.json", "package-lock.json", "produce.mjs"):
        shutil.copy(NODE / name, tmp_path)
    command = ["npm", "ci", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"]
    installed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    if installed.returncode:
        pytest.skip(f"npm ci: {installed.stderr.strip().splitlines()[-1:]}")
    return tmp_path


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


async def test_what_the_node_example_sends_is_read_and_lies_in_the_partition_that_we_would_choose(
    kafka: KafkaSettings, node_example: Path
) -> None:
    user, order = f"zoë-{uuid.uuid4().hex}", uuid.uuid4().hex
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SCHEMA_FILE": str(ROOT / "avro" / "released" / "NotificationRequested" / "1.avsc"),
        "SCHEMA_ID": "1",
    }
    run = await asyncio.to_thread(_run, ["node", "produce.mjs", user, order], node_example, environment)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    async with AsyncClient.over_kafka(kafka.bootstrap_servers) as client:
        await client.send(Event("order.shipped", user, {"order_id": order}))
    codec = Codec.open()
    messages = await asyncio.to_thread(
        lambda: [
            m for batch in read_topics(kafka, [INGEST], key=user.encode()) for m in batch if m.key() == user.encode()
        ]
    )
    theirs, ours = sorted(messages, key=lambda m: m.offset() or 0)
    assert (theirs.partition(), theirs.offset()) == (said["partition"], int(said["offset"]))
    assert ours.partition() == theirs.partition()
    event = codec.decode_event(theirs.value()).event
    assert (event.event_id, event.recipient_id, event.kind) == (said["event_id"], user, Kind.REQUEST)
    assert (event.idempotency_key, event.source) == (f"order-{order}-shipped", "shop")
    assert json.loads(event.data) == {"order_id": order}
