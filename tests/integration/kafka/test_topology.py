import json
import uuid

import pytest
from confluent_kafka.admin import AdminClient
from typer.testing import CliRunner

from pipeline.cli.root import app
from pipeline.config import KafkaSettings
from pipeline.errors import TopologyError, Unavailable
from pipeline.kafka.client import base_config
from pipeline.kafka.names import ALL_TOPICS
from pipeline.kafka.topology import apply_topics, missing_topics, plan_topics
from pipeline.kafka.topology_files import Topic
from pipeline.kafka.topology_plan import Action, Change

pytestmark = pytest.mark.broker


@pytest.fixture
def topics() -> list[Topic]:
    """Two topics that the broker does not have."""
    run = uuid.uuid4().hex
    settings = {"retention.ms": "86400000", "cleanup.policy": "delete"}
    return [Topic(f"notifications.test-{run}.{name}", 2, 1, settings, None, "") for name in ("a", "b")]


def partitions(kafka: KafkaSettings) -> list[int]:
    """How many the topics of the pipeline have that another test made on this broker."""
    found = AdminClient(base_config(kafka)).list_topics(timeout=10).topics
    return [len(found[name].partitions) if name in found else 0 for name in ALL_TOPICS]


def ours(changes: list[Change], topics: list[Topic]) -> list[tuple[Action, str, str]]:
    """The changes of these topics; other tests' topics are told as unknown ones."""
    known = {topic.name for topic in topics}
    return [(c.action, c.topic, c.what) for c in changes if c.topic in known]


def test_applied_twice_the_second_time_changes_nothing(kafka_settings: KafkaSettings, topics: list[Topic]) -> None:
    names = [topic.name for topic in topics]
    assert missing_topics(kafka_settings, names) == names
    created = apply_topics(kafka_settings, topics=topics)
    assert ours(created, topics) == [(Action.CREATE, name, "topic") for name in names]
    assert missing_topics(kafka_settings, names) == []
    assert ours(apply_topics(kafka_settings, topics=topics), topics) == []


def test_fewer_partitions_are_refused_and_nothing_is_done(kafka_settings: KafkaSettings, topics: list[Topic]) -> None:
    apply_topics(kafka_settings, topics=topics[:1])
    with pytest.raises(TopologyError, match=r"partitions 2 → 1"):
        apply_topics(kafka_settings, topics=topics, partitions=1)
    assert missing_topics(kafka_settings, [topics[1].name]) == [topics[1].name]


@pytest.mark.real_broker
def test_partitions_are_added_and_settings_put_right(kafka_settings: KafkaSettings, topics: list[Topic]) -> None:
    apply_topics(kafka_settings, topics=topics)
    larger = [topic._replace(partitions=3, settings={**topic.settings, "retention.ms": "1000000"}) for topic in topics]
    changes = ours(apply_topics(kafka_settings, topics=larger), topics)
    assert {(action, what) for action, _, what in changes} == {
        (Action.ADD_PARTITIONS, "partitions"),
        (Action.SET, "retention.ms"),
    }
    assert ours(plan_topics(kafka_settings, topics=larger), topics) == []


def test_the_command_applies_the_files_and_the_plan_is_empty_then(
    kafka_settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_KAFKA__BOOTSTRAP_SERVERS", kafka_settings.bootstrap_servers)
    count = max(2, *partitions(kafka_settings))
    size = ["--partitions", str(count), "--replication-factor", "1"]
    assert CliRunner().invoke(app, ["topics", "apply", *size]).exit_code == 0
    assert missing_topics(kafka_settings) == []
    result = CliRunner().invoke(app, ["topics", "plan", *size, "--detailed-exitcode", "--json"])
    assert result.exit_code == 0, result.output
    assert not [change for change in json.loads(result.stdout) if change["topic"] in ALL_TOPICS]
    result = CliRunner().invoke(app, ["topics", "plan", "--partitions", str(count + 1), "--detailed-exitcode"])
    assert result.exit_code == 2
    assert "order is not kept" in result.stdout
    assert CliRunner().invoke(app, ["topics", "plan", "--partitions", "1"]).exit_code == 1


def test_a_cluster_that_is_away_is_unavailable_and_says_what_to_set() -> None:
    with pytest.raises(Unavailable, match="PIPELINE_KAFKA__BOOTSTRAP_SERVERS"):
        missing_topics(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
