"""Topics as code, on a cluster: see what differs from ``topics/*.yaml`` and apply it."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from pipeline.config import KafkaSettings
from pipeline.errors import TopologyError, Unavailable
from pipeline.kafka.client import base_config
from pipeline.kafka.names import ALL_TOPICS
from pipeline.kafka.reach import METADATA_SECONDS, Reach
from pipeline.kafka.topology_files import Topic, load_topics
from pipeline.kafka.topology_plan import APPLICABLE, PREFIX, Action, Actual, Change, plan, resize

Answer = TypeVar("Answer")

REQUEST_SECONDS = 30.0
VISIBLE_SECONDS = 10.0
"""How long a change may take until clients see it."""
VISIBLE_POLL_SECONDS = 0.05


def plan_topics(
    kafka: KafkaSettings,
    *,
    partitions: int | None = None,
    replication_factor: int | None = None,
    topics: Iterable[Topic] | None = None,
) -> list[Change]:
    """What `apply_topics` would do.

    `topics`: as they should be; default: the files'. The two numbers stand in for theirs (small clusters).

    Raises:
        ConfigurationError: a file in ``topics/`` is wrong.
        Unavailable: Kafka does not answer.
    """
    return _Cluster(kafka).plan(resize(_or_files(topics), partitions, replication_factor))


def apply_topics(
    kafka: KafkaSettings,
    *,
    partitions: int | None = None,
    replication_factor: int | None = None,
    topics: Iterable[Topic] | None = None,
) -> list[Change]:
    """Create what is missing, add partitions, change settings; returns every difference found, as planned.

    Arguments as for `plan_topics`. Applied twice, the second time changes nothing. Returns when clients see what was done.

    Raises:
        ConfigurationError, Unavailable: as `plan_topics`.
        TopologyError: something would destroy data, and nothing was done; or Kafka refused a change.
    """
    desired = resize(_or_files(topics), partitions, replication_factor)
    cluster = _Cluster(kafka)
    changes = cluster.plan(desired)
    refused = [f"{c.topic}: {c.what} {c.before} → {c.after}: {c.note}" for c in changes if c.action is Action.REFUSE]
    if refused:
        raise TopologyError("\n".join(refused))
    cluster.apply(changes, desired)
    return changes


def _or_files(topics: Iterable[Topic] | None) -> Iterable[Topic]:
    return load_topics() if topics is None else topics


def missing_topics(kafka: KafkaSettings, topics: Iterable[str] = ALL_TOPICS) -> list[str]:
    """Those of `topics` that the cluster does not have.

    Raises:
        Unavailable: Kafka does not answer.
    """
    return sorted(set(topics) - _Cluster(kafka).names())


class _Cluster:
    """The few admin requests that this needs, each waited for."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._reach = Reach(kafka)
        config = {**base_config(kafka), "error_cb": self._reach.note}
        self._admin = AdminClient(config)  # type: ignore[arg-type]  # its stub knows of no callbacks

    def names(self) -> set[str]:
        return set(self._metadata())

    def plan(self, desired: list[Topic]) -> list[Change]:
        ours = {name: size for name, size in self._metadata().items() if name.startswith(PREFIX)}
        told = self._settings([topic.name for topic in desired if topic.name in ours])
        actual = {name: Actual(*size, told.get(name, {})) for name, size in ours.items()}
        return plan(desired, actual)

    def apply(self, changes: list[Change], desired: list[Topic]) -> None:
        if not any(change.action in APPLICABLE for change in changes):
            return
        topics = {topic.name: topic for topic in desired}
        self._create([topics[c.topic] for c in changes if c.action is Action.CREATE])
        self._add_partitions([topics[c.topic] for c in changes if c.action is Action.ADD_PARTITIONS])
        self._set([c for c in changes if c.action is Action.SET])
        self._await_visible(desired)

    def _metadata(self) -> dict[str, tuple[int, int]]:
        """Partitions and replicas of every topic."""
        try:
            topics = self._admin.list_topics(timeout=METADATA_SECONDS).topics
        except KafkaException as error:
            self._admin.poll(0)
            raise Unavailable(self._reach.failure(error.args[0].str())) from error
        return {
            name: (len(topic.partitions), len(topic.partitions[0].replicas))
            for name, topic in topics.items()
            if topic.partitions
        }

    def _settings(self, names: list[str]) -> dict[str, dict[str, str]]:
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        answers = self._admin.describe_configs(resources, request_timeout=REQUEST_SECONDS)
        told = {resource.name: _wait(f"read the settings of {resource.name}", f) for resource, f in answers.items()}
        return {
            name: {e.name: str(e.value) for e in entries.values() if e.value is not None}
            for name, entries in told.items()
        }

    def _create(self, topics: list[Topic]) -> None:
        new = [NewTopic(t.name, t.partitions, t.replication_factor, config=t.settings) for t in topics]
        if new:
            self._finish("create", self._admin.create_topics(new, request_timeout=REQUEST_SECONDS))

    def _add_partitions(self, topics: list[Topic]) -> None:
        new = [NewPartitions(topic.name, topic.partitions) for topic in topics]
        if new:
            self._finish("add partitions to", self._admin.create_partitions(new, request_timeout=REQUEST_SECONDS))

    def _set(self, changes: list[Change]) -> None:
        resources = {c.topic: ConfigResource(ResourceType.TOPIC, c.topic) for c in changes}
        for change in changes:
            entry = ConfigEntry(change.what, change.after, incremental_operation=AlterConfigOpType.SET)
            resources[change.topic].add_incremental_config(entry)
        if resources:
            answers = self._admin.incremental_alter_configs(list(resources.values()), request_timeout=REQUEST_SECONDS)
            self._finish("change settings of", {resource.name: future for resource, future in answers.items()})

    def _finish(self, what: str, answers: Mapping[str, "Future[None]"]) -> None:
        for topic, answer in answers.items():
            _wait(f"{what} {topic}", answer)

    def _await_visible(self, desired: list[Topic]) -> None:
        """Brokers learn of a change one after the other; who asks too early is told of the time before it."""
        deadline = time.monotonic() + VISIBLE_SECONDS
        while any(change.action in APPLICABLE for change in self.plan(desired)):
            if time.monotonic() > deadline:
                raise Unavailable(f"the changes are not visible after {VISIBLE_SECONDS:g} s; plan again in a minute")
            time.sleep(VISIBLE_POLL_SECONDS)


def _wait(what: str, answer: "Future[Answer]") -> Answer:
    try:
        return answer.result(timeout=REQUEST_SECONDS)
    except KafkaException as error:
        raise TopologyError(f"cannot {what}: {error.args[0].str()}") from error
    except TimeoutError:
        raise Unavailable(f"cannot {what}: Kafka did not answer within {REQUEST_SECONDS:g} s") from None
