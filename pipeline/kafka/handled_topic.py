"""Reads which dead letters are handled from the topic that says so."""

from collections.abc import Mapping

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from pipeline.config import KafkaSettings
from pipeline.errors import Unavailable
from pipeline.kafka.handled import Handled
from pipeline.kafka.names import DLQ_HANDLED, DLQ_TOPICS
from pipeline.kafka.reach import METADATA_SECONDS, Reach
from pipeline.kafka.reader import read_topics


def read_handled(kafka: KafkaSettings, topic_ids: Mapping[str, str] | None = None) -> Handled:
    """All that was handled by now. Blocks. `topic_ids` as `dlq_topic_ids` gives them; asked for where not given.

    Raises:
        Unavailable: Kafka or a topic is not there.
    """
    handled = Handled(_ask_ids(kafka) if topic_ids is None else topic_ids)
    for batch in read_topics(kafka, [DLQ_HANDLED]):
        for message in batch:
            handled.put(_bytes(message.key()), _bytes(message.value()))
    return handled


def read_handled_if_any(kafka: KafkaSettings) -> Handled:
    """As `read_handled`; nothing is handled on a cluster that does not have the topic (yet)."""
    reach = Reach(kafka)
    admin = AdminClient(reach.client_config())  # type: ignore[arg-type] # the stub forgets callbacks
    ids = _ids(reach, admin)
    return read_handled(kafka, ids) if reach.partitions_if_any(admin, DLQ_HANDLED) else Handled(ids)


def dlq_topic_ids(admin: AdminClient) -> dict[str, str]:
    """Kafka's own id of each dead-letter topic.

    Raises:
        KafkaException: Kafka does not answer, or lacks one of them.
    """
    answers = admin.describe_topics(TopicCollection(list(DLQ_TOPICS)), request_timeout=METADATA_SECONDS)
    return {topic: str(answer.result().topic_id) for topic, answer in answers.items()}


def _ask_ids(kafka: KafkaSettings) -> dict[str, str]:
    reach = Reach(kafka)
    return _ids(reach, AdminClient(reach.client_config()))  # type: ignore[arg-type] # the stub forgets callbacks


def _ids(reach: Reach, admin: AdminClient) -> dict[str, str]:
    for topic in DLQ_TOPICS:
        reach.partitions(admin, topic)
    try:
        return dlq_topic_ids(admin)
    except KafkaException as error:
        raise Unavailable(reach.failure(error.args[0].str())) from error


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
