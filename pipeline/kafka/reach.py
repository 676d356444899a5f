"""Says in one sentence why Kafka cannot be reached, and what to change."""

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, TopicMetadata  # type: ignore[attr-defined] # not in its __all__

from pipeline.config import KafkaSettings
from pipeline.errors import Unavailable
from pipeline.kafka.client import base_config

TANSU = "tansu_cluster"
"""The id of every cluster of the embedded broker that comes as a wheel."""

METADATA_SECONDS = 5.0
"""How long a first answer of the cluster is waited for."""


class Reach:
    """Remembers the last error that librdkafka told of (its `error_cb`), for the sentence."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._last = ""
        self._cluster: str | None = None

    def client_config(self) -> dict[str, object]:
        """For a client whose troubles are told here instead of on stderr."""
        return {**base_config(self._kafka), "log_level": 0, "error_cb": self.note}

    def note(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 -- says less than the error before it
            self._last = error.str()

    def failure(self, what: str) -> str:
        detail = self._last.split(": ", 1)[-1] if self._last else what
        return (
            f"cannot reach Kafka at {self._kafka.bootstrap_servers}: {detail}. "
            "Is it running? Set PIPELINE_KAFKA__BOOTSTRAP_SERVERS to its address."
        )

    def partitions(self, client: Consumer | AdminClient, topic: str) -> list[tuple[str, int]]:
        """Topic and number of each partition.

        Raises:
            Unavailable: Kafka does not answer within `METADATA_SECONDS`, or has no such topic.
        """
        metadata = self._metadata(client, topic)
        if metadata.error is not None:
            raise Unavailable(f"cannot read topic {topic}: {metadata.error.str()} (create it: pipeline topics apply)")
        return [(topic, number) for number in sorted(metadata.partitions)]

    def partitions_if_any(self, client: Consumer | AdminClient, topic: str) -> list[tuple[str, int]]:
        """As `partitions`; none where there is no such topic."""
        metadata = self._metadata(client, topic)
        if metadata.error is not None and metadata.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return []
        return self.partitions(client, topic)

    @property
    def understates_ends(self) -> bool:
        """Whether the cluster, once `partitions` was asked of it, tells that a partition ends where its last batch begins,
        as Tansu 0.6 does.
        """
        return self._cluster == TANSU

    def _metadata(self, client: Consumer | AdminClient, topic: str) -> TopicMetadata:
        try:
            found = client.list_topics(topic, timeout=METADATA_SECONDS)
        except KafkaException as error:
            client.poll(0)
            raise Unavailable(self.failure(error.args[0].str())) from error
        self._cluster = found.cluster_id
        return found.topics[topic]
