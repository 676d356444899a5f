import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    ClusterMetadata,
    PartitionMetadata,
    TopicMetadata,
)

from pipeline.kafka.names import DLQ_TOPICS, INGEST, INGEST_DLQ, ROUTER_GROUP, STORE_GROUP
from pipeline.kafka.topology_plan import Action, Change
from pipeline.observability.finding import Level
from pipeline.observability.kafka_checks import depth_findings, partition_findings, store_findings, topic_findings
from pipeline.observability.lag import Offsets, Progress


def offsets(*, finished: int = 5, letters: int = 0) -> Offsets:
    progress = Progress(ROUTER_GROUP, INGEST, ends=(5, 5), finished=(5, finished))
    return Offsets((progress,), {**dict.fromkeys(DLQ_TOPICS, 0), INGEST_DLQ: letters}, {})


def test_lag_is_what_is_not_finished_and_never_negative() -> None:
    assert Progress("g", "t", ends=(5, 7, 1), finished=(3, 7, 4)).lag == 2


def test_empty_queues_and_dead_letter_topics_are_all_well() -> None:
    assert [finding.level for finding in depth_findings(offsets())] == [Level.OK, Level.OK]


def test_a_group_that_is_behind_is_named_with_its_topic_and_what_to_do() -> None:
    lag, _ = depth_findings(offsets(finished=1))
    assert lag.level is Level.WARN
    assert (lag.name, lag.detail) == (f"lag {ROUTER_GROUP}", f"4 records of {INGEST} not finished")
    assert lag.remedy


def test_dead_letters_are_named_with_their_topic() -> None:
    _, letters = depth_findings(offsets(letters=3))
    assert letters.level is Level.WARN
    assert INGEST_DLQ in letters.name
    assert letters.remedy


def cluster(*partitions: PartitionMetadata) -> ClusterMetadata:
    topic, metadata = TopicMetadata(), ClusterMetadata()
    topic.partitions = dict(enumerate(partitions))
    metadata.topics = {INGEST: topic}
    return metadata


def partition(leader: int, in_sync: list[int]) -> PartitionMetadata:
    metadata = PartitionMetadata()
    metadata.leader, metadata.replicas, metadata.isrs = leader, [1, 2], in_sync
    return metadata


def test_a_partition_without_a_leader_is_a_failure_that_names_it() -> None:
    (brokers,) = partition_findings(cluster(partition(1, [1, 2]), partition(-1, [])))
    assert (brokers.level, f"{INGEST}/1" in brokers.detail) == (Level.FAIL, True)
    assert brokers.remedy


def test_a_replica_that_is_behind_is_worth_a_look() -> None:
    (brokers,) = partition_findings(cluster(partition(1, [1])))
    assert (brokers.level, f"{INGEST}/0" in brokers.detail) == (Level.WARN, True)
    assert brokers.remedy
    (brokers,) = partition_findings(cluster(partition(1, [1, 2])))
    assert brokers.level is Level.OK


@pytest.mark.parametrize("action", [action for action in Action if action is not Action.CREATE])
def test_each_way_in_which_topics_differ_is_told_with_what_to_do(action: Action) -> None:
    (finding,) = topic_findings([Change(action, INGEST, "partitions", "3", "12")])
    assert (finding.level, INGEST in finding.detail) == (Level.WARN, True)
    assert finding.remedy


def test_a_store_that_is_behind_is_told_apart_from_what_holds_up_notifications() -> None:
    (behind,) = store_findings(7)
    assert (behind.level, behind.name) == (Level.WARN, f"lag {STORE_GROUP}")
    assert "pipeline store" in behind.remedy
    (level,) = (finding.level for finding in store_findings(0))
    assert level is Level.OK
