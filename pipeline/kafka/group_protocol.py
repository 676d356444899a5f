"""Which rebalance protocol a consumer group speaks: the next generation (KIP-848) where the cluster offers it."""

import logging
from typing import Any, Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]  # not in its __all__

from pipeline.config import KafkaSettings
from pipeline.errors import Unavailable
from pipeline.kafka.client import base_config
from pipeline.kafka.reach import Reach

logger = logging.getLogger(__name__)

GroupProtocol = Literal["consumer", "classic"]

OFFERED = "group.coordinator.rebalance.protocols"
"""The broker setting that lists them."""

TIMEOUT = 5.0
SESSION_TIMEOUT_MS = 10_000


def group_config(protocol: GroupProtocol) -> dict[str, str | int]:
    """What librdkafka is told. With `consumer`, sessions and assignment are the broker's business."""
    if protocol == "consumer":
        return {"group.protocol": "consumer"}
    return {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": SESSION_TIMEOUT_MS,
        "heartbeat.interval.ms": SESSION_TIMEOUT_MS // 4,
    }


def choose_protocol(kafka: KafkaSettings) -> GroupProtocol:
    """What the settings say; for `auto`, what the cluster offers. Blocks up to some seconds.

    A client that asks a broker for a protocol it lacks waits for ever and without a word; so the broker's
    configuration is read. Where that is not allowed or not there, `classic` always works.

    Raises:
        Unavailable: Kafka cannot be reached.
    """
    if kafka.group_protocol != "auto":
        return kafka.group_protocol
    reach = Reach(kafka)
    config: dict[str, Any] = {**base_config(kafka), "error_cb": reach.note, "log_level": 0}
    admin = AdminClient(config)
    try:
        brokers = list(admin.list_topics(timeout=TIMEOUT).brokers)
    except KafkaException as error:
        admin.poll(0)
        raise Unavailable(reach.failure(error.args[0].str())) from error
    return "consumer" if "consumer" in _offered(admin, brokers[0]) else "classic"


def _offered(admin: AdminClient, broker: int) -> list[str]:
    resource = ConfigResource(ConfigResource.Type.BROKER, str(broker))
    try:
        settings = admin.describe_configs([resource], request_timeout=TIMEOUT)[resource].result()
    except KafkaException as error:
        logger.info("the broker does not tell its group protocols (%s): using classic", error.args[0].str())
        return []
    entry = settings.get(OFFERED)
    return entry.value.split(",") if entry and entry.value else []
