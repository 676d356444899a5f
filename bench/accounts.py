"""The balance beside a consumer that reads and decodes the same records, and forgets them."""

import io
import json
import time
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from fastavro import parse_schema, schemaless_reader

from bench.cluster import bench_line, end_offsets, produce_all
from bench.figures import Figure, figure
from pipeline.accounts.take import take_balance
from pipeline.config import KafkaSettings
from pipeline.embedded.line import PARTITIONS, Plan
from pipeline.errors import Unavailable
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import ChannelDecision, Decision, DeliveryStatus
from pipeline.events.vocabulary import Channel, Kind, Origin, Priority, Reason, Status, Verdict
from pipeline.kafka.client import base_config
from pipeline.kafka.names import DECISIONS, DELIVERY_STATUS
from pipeline.kafka.producer import Record

EVENTS = 40_000
CHANNELS = (Channel.PUSH, Channel.EMAIL, Channel.IN_APP)
ROUNDS = 3
AVRO = Path(__file__).parent.parent / "avro"
SCHEMAS = {DECISIONS: "Decision", DELIVERY_STATUS: "DeliveryStatus"}
HEADER = 5
"""Bytes before the record: a magic byte and the schema's id."""


def run() -> list[Figure]:
    """Records a second over decisions and statuses, the best of `ROUNDS` each, taken in turns."""
    with bench_line(Plan(simulators=None, workers=(), router=False)) as line:
        kafka = line.settings.kafka
        produce_all(kafka, _records())
        ours, peer = [], []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            balance = take_balance(line.settings)
            ours.append(time.perf_counter() - began)
            if balance.accepted != EVENTS * len(CHANNELS) or not balance.ok:
                raise Unavailable(f"the balance is wrong: {balance}")
            peer.append(_read_all(kafka))
    count = EVENTS * (1 + len(CHANNELS))
    return [figure("accounts.rate", "records/s", count / min(ours), count / min(peer), "confluent consumer + fastavro")]


def _read_all(kafka: KafkaSettings) -> float:
    """Seconds that reading both topics to their ends takes."""
    left = sum(end for topic in (DECISIONS, DELIVERY_STATUS) for end in end_offsets(kafka, topic))
    consumer = Consumer({**base_config(kafka), "group.id": "bench-reader", "enable.auto.commit": False})
    schemas = {topic: parse_schema(json.loads((AVRO / f"{name}.avsc").read_text())) for topic, name in SCHEMAS.items()}
    began = time.perf_counter()
    consumer.assign([TopicPartition(t, p, 0) for t in (DECISIONS, DELIVERY_STATUS) for p in range(PARTITIONS)])
    while left > 0:
        for message in consumer.consume(1_000, 0.1):
            schemaless_reader(io.BytesIO((message.value() or b"")[HEADER:]), schemas[message.topic() or ""])
            left -= 1
    seconds = time.perf_counter() - began
    consumer.close()
    return seconds


def _records() -> list[Record]:
    codec, now = Codec.open(), time.time_ns() // 1_000_000
    records = []
    for number in range(EVENTS):
        event, user, key = f"evt_{number}", f"user-{number % 1_000}", f"bench_{number}"
        ids = {channel: notification_id(key, user, channel) for channel in CHANNELS}
        decision = Decision(
            event_id=event, idempotency_key=key, recipient_id=user, event_type="order.shipped", category="orders",
            source="bench", kind=Kind.REQUEST, priority=Priority.HIGH, policy_version="bench", decided_at=now,
            origin=Origin.INGEST, partition=0, offset=number, trace_id="",
            channels=[
                ChannelDecision(
                    channel=c, verdict=Verdict.DISPATCH, reason=Reason.ALLOWED, rule="allowed", notification_id=i
                )
                for c, i in ids.items()
            ],
        )  # fmt: skip
        records.append(Record(DECISIONS, user.encode(), codec.encode_decision(decision)))
        for channel, identifier in ids.items():
            status = DeliveryStatus(
                notification_id=identifier, event_id=event, idempotency_key=key, recipient_id=user,
                event_type="order.shipped", category="orders", source="bench", channel=channel, priority=Priority.HIGH,
                status=Status.SENT, reason=Reason.ACCEPTED, rule="allowed", policy_version="bench", provider="bench",
                provider_message_id=str(number), attempt=1, in_doubt=False, occurred_at=now, created_at=now, trace_id="",
            )  # fmt: skip
            records.append(Record(DELIVERY_STATUS, user.encode(), codec.encode_status(status)))
    return records
