"""What must change on a cluster for its topics to be as their files say. Pure."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from pipeline.kafka.topology_files import Topic

PREFIX = "notifications."
"""Topics whose names begin so are ours."""

IN_SYNC = "min.insync.replicas"

ORDER_BREAKS = "a user's later records may go to another partition: order is not kept across this change"


class Action(StrEnum):
    """What a change is. The last three are never carried out."""

    CREATE = "create"
    ADD_PARTITIONS = "add_partitions"
    SET = "set"
    REFUSE = "refuse"
    REASSIGN = "reassign"
    UNKNOWN = "unknown"


APPLICABLE = frozenset({Action.CREATE, Action.ADD_PARTITIONS, Action.SET})


class Change(NamedTuple):
    """One difference of one topic: `what` is ``partitions``, ``replication_factor`` or a setting's name."""

    action: Action
    topic: str
    what: str
    before: str
    after: str
    note: str = ""


class Actual(NamedTuple):
    """A topic as it is. `settings` holds what the cluster tells, defaults of the broker included."""

    partitions: int
    replication_factor: int
    settings: Mapping[str, str]


def resize(topics: Iterable[Topic], partitions: int | None, replication_factor: int | None) -> list[Topic]:
    """The topics for a cluster of another size. In-sync replicas shrink along: one less than there are, at least 1."""
    return [
        _replicated(topic._replace(partitions=partitions or topic.partitions), replication_factor) for topic in topics
    ]


def _replicated(topic: Topic, replicas: int | None) -> Topic:
    """The topic with so many replicas. More in-sync replicas than there are replicas would refuse every write."""
    if replicas is None or replicas == topic.replication_factor:
        return topic
    in_sync = min(int(topic.settings.get(IN_SYNC, "1")), max(1, replicas - 1))
    return topic._replace(replication_factor=replicas, settings={**topic.settings, IN_SYNC: str(in_sync)})


def plan(desired: Iterable[Topic], actual: Mapping[str, Actual]) -> list[Change]:
    """Every difference, by topic. `actual` may hold topics that are not ours; they are left out.

    A setting that the cluster does not tell of (an embedded broker keeps none) counts as being right.
    """
    desired = list(desired)
    changes = [change for topic in desired for change in _differences(topic, actual.get(topic.name))]
    known = {topic.name for topic in desired}
    strays = sorted(name for name in actual if name.startswith(PREFIX) and name not in known)
    return changes + [
        Change(Action.UNKNOWN, name, "topic", "exists", "not in topics/*.yaml", "left alone") for name in strays
    ]


def _differences(topic: Topic, actual: Actual | None) -> list[Change]:
    if actual is None:
        return [Change(Action.CREATE, topic.name, "topic", "missing", _size(topic))]
    settings = _replicated(topic, actual.replication_factor).settings
    return [*_partitions(topic, actual), *_replication(topic, actual), *_settings(topic.name, settings, actual)]


def _size(topic: Topic) -> str:
    return f"{topic.partitions} partitions, {topic.replication_factor} replicas"


def _partitions(topic: Topic, actual: Actual) -> list[Change]:
    before, after = str(actual.partitions), str(topic.partitions)
    if topic.partitions > actual.partitions:
        return [Change(Action.ADD_PARTITIONS, topic.name, "partitions", before, after, ORDER_BREAKS)]
    if topic.partitions < actual.partitions:
        note = "partitions cannot be taken away without losing their records: put the cluster's number into the file"
        return [Change(Action.REFUSE, topic.name, "partitions", before, after, note)]
    return []


def _replication(topic: Topic, actual: Actual) -> list[Change]:
    if topic.replication_factor == actual.replication_factor:
        return []
    before, after = str(actual.replication_factor), str(topic.replication_factor)
    note = "move replicas with kafka-reassign-partitions"
    return [Change(Action.REASSIGN, topic.name, "replication_factor", before, after, note)]


def _settings(topic: str, desired: Mapping[str, str], actual: Actual) -> list[Change]:
    return [
        Change(Action.SET, topic, name, actual.settings[name], value)
        for name, value in sorted(desired.items())
        if actual.settings.get(name, value) != value
    ]
