"""librdkafka configurations, made in one place so that every client partitions and commits alike."""

from collections.abc import Mapping

from pipeline.config import KafkaSettings

ClientConfig = dict[str, str | int | float | bool]


def base_config(kafka: KafkaSettings) -> ClientConfig:
    """What every client shares: addresses, pass-through security, and silence.

    librdkafka would write to stderr by itself while a broker is away; we say so once, through health and the log.
    ``kafka.client: {log_level: "6"}`` gives it its voice back.
    """
    return {"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0, **kafka.client}


UNHURRIED: dict[str, str | int] = {"linger.ms": 50}
"""For decisions and statuses, which are on nobody's way: collected for so long, they spare the broker most of its
requests (librdkafka sends one for each partition)."""


def producer_config(kafka: KafkaSettings, extra: Mapping[str, str | int] | None = None) -> ClientConfig:
    """An idempotent producer that puts a user in the same partition as the Java clients do.

    ``linger.ms=1``: at a low rate a record waits at most 1 ms; under load batches fill by themselves. The buffer is
    bounded at 64 MiB; when it is full, `pipeline.kafka.producer.AsyncProducer` waits. ``message.timeout.ms=0``: a
    record waits for a broker that is away as long as it takes, rather than fail.
    """
    return {
        **base_config(kafka),
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "linger.ms": 1,
        "compression.type": "lz4",
        "queue.buffering.max.kbytes": 65_536,
        "queue.buffering.max.messages": 100_000,
        "message.max.bytes": 4_194_304,
        "message.timeout.ms": 0,
        **(extra or {}),
    }


def consumer_config(kafka: KafkaSettings, group: str, extra: Mapping[str, str | int] | None = None) -> ClientConfig:
    """A consumer whose offsets only we commit. Local buffers are small, so that memory stays flat in a backlog."""
    return {
        **base_config(kafka),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 8_192,
        "fetch.max.bytes": 8_388_608,
        **(extra or {}),
    }
