from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigurationError
from pipeline.events.codec import MAX_EVENT_BYTES
from pipeline.kafka.names import (
    ALL_TOPICS,
    DECISIONS,
    DEFERRED,
    DELIVERY_STATUS,
    DISPATCH_TOPICS,
    DLQ_HANDLED,
    DLQ_TOPICS,
    INGEST,
)
from pipeline.kafka.topology_files import Topic, load_topics, names, subjects_of
from pipeline.kafka.topology_plan import Action, Actual, Change, plan, resize

TOPICS = {topic.name: topic for topic in load_topics()}


def actual(topic: Topic) -> Actual:
    return Actual(topic.partitions, topic.replication_factor, {**topic.settings, "segment.bytes": "1"})


def test_the_files_name_every_topic_of_the_code_and_no_other() -> None:
    assert sorted(TOPICS) == sorted(ALL_TOPICS)


def test_every_topic_has_the_schema_that_its_readers_expect() -> None:
    assert {name: topic.schema for name, topic in TOPICS.items()} == {
        INGEST: "NotificationRequested",
        **dict.fromkeys(DISPATCH_TOPICS, "Dispatch"),
        DEFERRED: "Deferred",
        DECISIONS: "Decision",
        DELIVERY_STATUS: "DeliveryStatus",
        **dict.fromkeys((*DLQ_TOPICS, DLQ_HANDLED), None),
    }
    assert "notifications.in-app.low-value" in subjects_of(list(TOPICS.values()))


def test_what_analysts_join_by_user_has_the_partitions_of_the_ingest_topic() -> None:
    assert TOPICS[DECISIONS].partitions == TOPICS[DELIVERY_STATUS].partitions == TOPICS[INGEST].partitions


def test_an_event_of_full_size_fits_into_every_topic_that_carries_it() -> None:
    for name in (INGEST, *DISPATCH_TOPICS, DEFERRED):
        assert int(TOPICS[name].settings["max.message.bytes"]) > MAX_EVENT_BYTES + 128 * 1024
    largest = max(int(TOPICS[name].settings["max.message.bytes"]) for name in (INGEST, *DISPATCH_TOPICS))
    for name in DLQ_TOPICS:
        assert int(TOPICS[name].settings["max.message.bytes"]) > largest


def test_braces_stand_for_one_name_each() -> None:
    assert names("a.{b,c}.{d,e}") == ["a.b.d", "a.b.e", "a.c.d", "a.c.e"]
    assert names("plain") == ["plain"]


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


DEFAULTS = "replication_factor: 3\nsettings: {cleanup.policy: delete, retention.ms: 1}\n"


def test_a_topic_overrides_its_file_and_its_file_the_defaults(tmp_path: Path) -> None:
    text = """
partitions: 6
settings: {retention.ms: 2}
topics:
  - {name: a, description: A.}
  - {name: b, description: B., partitions: 1, settings: {retention.ms: 3}}
"""
    first, second = load_topics(write(tmp_path, defaults=DEFAULTS, x=text))
    assert first == Topic("a", 6, 3, {"cleanup.policy": "delete", "retention.ms": "2"}, None, "A.")
    assert second == Topic("b", 1, 3, {"cleanup.policy": "delete", "retention.ms": "3"}, None, "B.")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("topics: [{name: a, description: A.}]", "a needs `partitions`"),
        ("partitions: 1\ntopics: [{name: a}]", "description"),
        ("partitions: many\ntopics: []", "partitions"),
        ("retention: 1\ntopics: []", "retention"),
        ("partitions: 1\ntopics: [{name: 'a', description: A.}, {name: 'a', description: B.}]", "twice"),
        ("topics: [", "x.yaml"),
    ],
)
def test_a_file_that_is_wrong_is_told_by_its_name(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as caught:
        load_topics(write(tmp_path, defaults=DEFAULTS, x=text))
    assert "x.yaml" in str(caught.value)


TOPIC = Topic("notifications.a", 4, 3, {"min.insync.replicas": "2", "retention.ms": "1000"}, None, "")


def test_a_topic_as_its_file_says_needs_no_change() -> None:
    assert plan([TOPIC], {TOPIC.name: actual(TOPIC)}) == []


def test_a_missing_topic_is_created() -> None:
    assert plan([TOPIC], {}) == [
        Change(Action.CREATE, TOPIC.name, "topic", "missing", "4 partitions, 3 replicas"),
    ]


def test_more_partitions_are_added_with_a_warning_that_order_breaks() -> None:
    (change,) = plan([TOPIC], {TOPIC.name: actual(TOPIC)._replace(partitions=2)})
    assert (change.action, change.before, change.after) == (Action.ADD_PARTITIONS, "2", "4")
    assert "order is not kept" in change.note


def test_fewer_partitions_are_refused() -> None:
    (change,) = plan([TOPIC], {TOPIC.name: actual(TOPIC)._replace(partitions=8)})
    assert change.action is Action.REFUSE


def test_a_setting_that_differs_is_set_and_one_that_no_file_names_is_left() -> None:
    settings = {**TOPIC.settings, "retention.ms": "5", "segment.bytes": "7"}
    assert plan([TOPIC], {TOPIC.name: Actual(4, 3, settings)}) == [
        Change(Action.SET, TOPIC.name, "retention.ms", "5", "1000"),
    ]


def test_in_sync_replicas_are_never_set_beyond_the_replicas_that_there_are() -> None:
    settings = {**TOPIC.settings, "min.insync.replicas": "1"}
    (change,) = plan([TOPIC], {TOPIC.name: Actual(4, 1, settings)})
    assert (change.action, change.what) == (Action.REASSIGN, "replication_factor")


def test_a_stranger_with_our_prefix_is_told_and_one_without_is_not() -> None:
    found = {TOPIC.name: actual(TOPIC), "notifications.old": Actual(1, 1, {}), "orders": Actual(1, 1, {})}
    (change,) = plan([TOPIC], found)
    assert (change.action, change.topic) == (Action.UNKNOWN, "notifications.old")


@given(st.integers(1, 50), st.integers(1, 5))
def test_a_cluster_made_by_the_plan_needs_no_further_change(partitions: int, replicas: int) -> None:
    desired = resize(TOPICS.values(), partitions, replicas)
    assert {change.action for change in plan(desired, {})} == {Action.CREATE}
    assert plan(desired, {topic.name: actual(topic) for topic in desired}) == []
    for topic in desired:
        assert 1 <= int(topic.settings["min.insync.replicas"]) <= max(1, replicas - 1)
