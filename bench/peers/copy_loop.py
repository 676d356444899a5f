"""The practical limit of a Python router: consume, decode once, one Redis pipeline a batch, encode for each channel.

No Faust, no rules, no preferences, no decision records.
"""

import redis
from confluent_kafka import Consumer, Producer

from bench.peers.meter import Meter
from bench.peers.work import BOOTSTRAP, EVENTS, GROUP, REDIS_URL, Fields, decode, dispatches
from pipeline.kafka.names import INGEST


def main() -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": GROUP,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": BOOTSTRAP,
            "linger.ms": 5,
            "acks": "all",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    store = redis.Redis.from_url(REDIS_URL)
    consumer.subscribe([INGEST])
    meter = Meter(EVENTS)
    while True:
        records = [record for record in consumer.consume(1000, 0.5) if not record.error()]
        events = [decode(record.value() or b"") for record in records]
        if not events:
            continue
        remember(store, events)
        for record, event in zip(records, events, strict=True):
            for topic, value in dispatches(event):
                produce(producer, topic, record.key(), value)
        producer.flush()
        consumer.commit(asynchronous=False)
        meter.tick(len(events))


def remember(store: redis.Redis, events: list[Fields]) -> None:
    store.mget([f"pref:{event['recipient_id']}" for event in events])
    pipeline = store.pipeline(transaction=False)
    for event in events:
        pipeline.set(f"idem:{event['idempotency_key']}", 1, nx=True, ex=60)
        pipeline.incr(f"cap:{event['recipient_id']}")
    pipeline.execute()


def produce(producer: Producer, topic: str, key: bytes | None, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, key=key, value=value)
        except BufferError:
            producer.poll(0.01)
        else:
            return


main()
