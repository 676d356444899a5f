"""A thousand records that nobody can read, among a thousand good ones."""

import random
import struct
import time
import uuid
from collections import Counter

from confluent_kafka import Message

from pipeline.config import KafkaSettings
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Status
from pipeline.kafka.inbound import inbound
from pipeline.kafka.names import INGEST, INGEST_DLQ, Header
from pipeline.kafka.producer import Record
from pipeline.kafka.reader import read_topics
from pipeline.users.snapshot import Device, UserSnapshot
from pipeline.users.synthetic import fcm_token
from tests.line.rig import Rig, differences

COUNT = 1_000
CHANNELS = [Channel.PUSH, Channel.EMAIL, Channel.IN_APP]
BIG = 900_000
BIG_ONES = 40
UNKNOWN_SCHEMA = struct.pack(">bI", 0, 999_999)


def test_malformed_records_go_to_the_dead_letters_untouched_and_delay_no_good_one(rig: Rig) -> None:
    rig.load([reader(number) for number in range(50)])
    before = rig.settle()
    bad = malformed(rig)
    good = [event(number) for number in range(COUNT)]
    rig.produce_raw(shuffled([*bad, *(record(rig, e) for e in good)]))
    after = rig.settle()

    assert after.ok
    added = differences(before, after)
    assert added["rejected"] == COUNT
    assert added["requests"] == COUNT
    assert added["accepted"] == added["terminal"] == COUNT * len(CHANNELS)
    assert after.count(Status.SENT) - before.count(Status.SENT) == COUNT * len(CHANNELS)
    assert read_dead_letters(rig.settings.kafka, {r.key for r in bad}) == Counter((r.key, r.value) for r in bad)


def read_dead_letters(kafka: KafkaSettings, keys: set[bytes | None]) -> Counter[tuple[bytes | None, bytes | None]]:
    """Keys and values of those of ours, once each of them says what is wrong with it."""
    messages = [message for batch in read_topics(kafka, [INGEST_DLQ]) for message in batch if message.key() in keys]
    for message in messages:
        headers = texts(message)
        assert headers[Header.DLQ_REASON], headers
        assert headers[Header.DLQ_ERROR], headers
        assert headers[Header.DLQ_TOPIC] == INGEST
        assert headers[Header.DLQ_OFFSET].isdigit()
    return Counter((message.key(), message.value()) for message in messages)


def texts(message: Message) -> dict[str, str]:
    return {name: (value or b"").decode() for name, value in inbound(message).headers}


def malformed(rig: Rig) -> list[Record]:
    """A thousand, each with a key of its own."""
    rnd = random.Random(3)
    whole = record(rig, event(0)).value or b""
    kinds: tuple[bytes | None, ...] = (
        b"",
        None,
        UNKNOWN_SCHEMA + whole[5:],
        whole[: len(whole) // 2],
        b'{"event_type": "order.shipped"}',
        b"\x00",
    )
    big = [whole[:5] + rnd.randbytes(BIG) for _ in range(BIG_ONES)]
    noise = [rnd.randbytes(rnd.randint(1, 3_000)) for _ in range(COUNT // 4)]
    values = [*big, *noise, *(kinds[n % len(kinds)] for n in range(COUNT - len(big) - len(noise)))]
    run = uuid.uuid4().hex[:8]
    return [Record(INGEST, f"unreadable-{run}-{number}".encode(), value) for number, value in enumerate(values)]


def reader(number: int) -> UserSnapshot:
    user_id = f"reader-{number}"
    devices = [Device(id="phone", platform="android", token=fcm_token(user_id, "phone"))]
    return UserSnapshot(user_id=user_id, version=0, known=True, email=f"{user_id}@example.com", devices=devices)


def event(number: int) -> NotificationRequested:
    unique = uuid.uuid4().hex
    return NotificationRequested(
        event_id=f"evt_{unique}",
        event_type="order.shipped",
        recipient_id=f"reader-{number % 50}",
        channels=CHANNELS,
        priority=None,
        data=f'{{"order_id": "{unique}", "tracking_url": "https://example.com/{unique}"}}',
        idempotency_key=f"key_{unique}",
        created_at=time.time_ns() // 1_000_000,
        source="line",
    )


def record(rig: Rig, event: NotificationRequested) -> Record:
    return Record(INGEST, event.recipient_id.encode(), rig.codec.encode_event(event))


def shuffled(records: list[Record]) -> list[Record]:
    random.Random(5).shuffle(records)
    return records
