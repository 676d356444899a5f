"""Every topic name and consumer group name there is, in one place. These names are promises to other teams."""

from pipeline.events.vocabulary import Channel, Priority

INGEST = "notifications.ingest"
DEFERRED = "notifications.deferred"
DECISIONS = "notifications.decisions"
DELIVERY_STATUS = "notifications.delivery-status"
INGEST_DLQ = "notifications.ingest.dlq"
DLQ_HANDLED = "notifications.dlq-handled"
"""Which dead letters were replayed or dropped (`pipeline.kafka.handled`); nobody but the operators' commands writes it."""

ROUTER_GROUP = "notification-router"
SHADOW_GROUP = "notification-router-shadow"
SCHEDULER_GROUP = "notification-scheduler"
STORE_GROUP = "notification-store"

IN_APP_CHANNEL = "notifications:in_app"
"""The Redis pub/sub channel that carries in-app notifications to connected clients."""


def channel_slug(channel: Channel) -> str:
    """The channel's name inside topic and group names: ``in_app`` is spelled ``in-app`` there."""
    return channel.replace("_", "-")


def dispatch_topic(channel: Channel, priority: Priority) -> str:
    return f"notifications.{channel_slug(channel)}.{priority}"


def channel_dlq(channel: Channel) -> str:
    return f"notifications.{channel_slug(channel)}.dlq"


def worker_group(channel: Channel, priority: Priority) -> str:
    """One consumer group a topic, however topics are spread over deployments: regrouping never reads one twice."""
    return f"notification-{channel_slug(channel)}-{priority}"


DISPATCH_TOPICS: tuple[str, ...] = tuple(dispatch_topic(c, p) for c in Channel for p in Priority)
DLQ_TOPICS: tuple[str, ...] = (INGEST_DLQ, *(channel_dlq(c) for c in Channel))
LINE_TOPICS: tuple[str, ...] = (INGEST, *DISPATCH_TOPICS, DEFERRED, DECISIONS, DELIVERY_STATUS, *DLQ_TOPICS)
"""What the services need."""
ALL_TOPICS: tuple[str, ...] = (*LINE_TOPICS, DLQ_HANDLED)


class Header:
    """Kafka record headers that the pipeline reads or writes."""

    ORIGIN = "origin"
    TRACEPARENT = "traceparent"
    WHEN_USERS_AWAY = "when-users-away"
    DEFERRED_AT = "deferred.at"
    RELEASED_AT = "released.at"
    STEPS = "steps"
    DLQ_REASON = "dlq.reason"
    DLQ_ERROR = "dlq.error"
    DLQ_ATTEMPTS = "dlq.attempts"
    DLQ_TOPIC = "dlq.topic"
    DLQ_PARTITION = "dlq.partition"
    DLQ_OFFSET = "dlq.offset"
    DLQ_AT = "dlq.at"
    DLQ_IN_DOUBT = "dlq.in_doubt"
    REPLAY_ROUND = "replay.round"
    REPLAY_FIRST = "replay.first"
