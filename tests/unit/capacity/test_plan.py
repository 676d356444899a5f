"""A plan carries the load it was made for, says why, and never asks for less when more comes in."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipeline.capacity.figures import REFERENCE, Figure, Figures, read_figures
from pipeline.capacity.load import Load, read_channels, read_number, read_peak, read_priorities
from pipeline.capacity.plan import BUSY, GROWTH, Plan, partitions_for, plan_capacity
from pipeline.cli.root import app
from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel, Priority
from pipeline.kafka.names import DECISIONS, DELIVERY_STATUS, DISPATCH_TOPICS, INGEST, dispatch_topic
from pipeline.kafka.topology_files import load_topics

TOPICS = load_topics()
LOADS = st.builds(
    Load,
    per_day=st.floats(1e3, 1e9),
    peak=st.floats(1, 50),
    channels=st.dictionaries(st.sampled_from(Channel), st.floats(0.01, 3), min_size=1),
    provider_seconds=st.floats(0.01, 5),
)


def plan(load: Load, figures: Figures = REFERENCE) -> Plan:
    return plan_capacity(load, figures, TOPICS)


def amount(made: Plan, what: str) -> float:
    (line,) = (line for line in made.lines if line.what == what)
    return line.amount


@given(LOADS)
def test_half_of_what_the_replicas_can_carries_the_peak_and_each_finds_a_partition(load: Load) -> None:
    made = plan(load)
    assert made.replicas["router"] * REFERENCE["router.rate_vs_naive"].value * BUSY >= load.events
    for channel, share in load.channels.items():
        for priority, part in load.priorities.items():
            count = made.replicas[f"worker {channel} {priority}"]
            assert count * REFERENCE["worker.fcm"].value * BUSY >= load.events * share * part
            assert made.partitions[dispatch_topic(channel, priority)] >= count * GROWTH


@given(LOADS, st.floats(1, 10))
def test_more_load_never_needs_less(load: Load, times: float) -> None:
    more = Load(
        per_day=load.per_day * times, peak=load.peak, channels=load.channels, provider_seconds=load.provider_seconds
    )
    before, after = plan(load), plan(more)
    assert all(after.replicas[name] >= count for name, count in before.replicas.items())
    assert all(after.partitions[topic] >= count for topic, count in before.partitions.items())
    for what in ("brokers", "broker disk, all together", "Redis memory, all together", "PostgreSQL disk"):
        assert amount(after, what) >= amount(before, what)


@given(LOADS)
def test_topics_that_are_joined_by_user_have_equal_partitions_and_everything_has_a_reason(load: Load) -> None:
    made = plan(load)
    assert len({made.partitions[topic] for topic in (INGEST, DECISIONS, DELIVERY_STATUS)}) == 1
    assert all(line.because for line in made.lines)
    assert set(made.partitions) <= {topic.name for topic in TOPICS}


def test_ten_million_a_day_at_five_times_is_carried_by_two_of_each_and_three_brokers() -> None:
    made = plan(Load(per_day=10e6))
    assert amount(made, "events at the peak") == pytest.approx(578.7, abs=0.1)
    assert set(made.replicas.values()) == {2}
    assert amount(made, "brokers") == 3
    kept = 20e6 * REFERENCE["size.redis"].value + 10e6 / 86_400 * 5 * 3_900 * REFERENCE["size.redis_user"].value
    assert amount(made, "Redis memory, all together") == pytest.approx(kept * 1.6 / 2**30)
    assert amount(made, "PostgreSQL disk") == pytest.approx(10e6 * 90 * REFERENCE["size.store"].value * 1.4 / 1e9)


def test_a_hundred_times_that_takes_a_redis_cluster_and_smaller_pools() -> None:
    made = plan(Load(per_day=1e9))
    assert amount(made, "Redis Cluster") >= 3
    (connections,) = (line for line in made.lines if line.what == "PostgreSQL connections")
    assert "postgres.pool_size" in connections.because


def test_a_channel_that_is_not_used_gets_neither_workers_nor_partitions() -> None:
    made = plan(Load(per_day=1e6, channels={Channel.PUSH: 1, Channel.SMS: 0}, priorities={Priority.LOW: 1}))
    assert [name for name in made.replicas if name.startswith("worker")] == ["worker push low"]
    assert [topic for topic in made.partitions if topic in DISPATCH_TOPICS] == ["notifications.push.low"]


def test_a_slow_provider_takes_more_workers() -> None:
    slow, fast = (plan(Load(per_day=1e8, provider_seconds=seconds)) for seconds in (2, 0.02))
    assert slow.replicas["worker push normal"] > fast.replicas["worker push normal"]
    assert slow.replicas["worker in_app normal"] == fast.replicas["worker in_app normal"]


@pytest.mark.parametrize(("replicas", "partitions"), [(1, 6), (2, 12), (3, 12), (6, 24), (96, 384), (100, 768)])
def test_partitions_leave_room_and_divide_evenly(replicas: int, partitions: int) -> None:
    assert partitions_for(replicas) == partitions


@pytest.mark.parametrize(
    ("text", "number"), [("10M", 10e6), ("250k", 250e3), ("1.5m", 1.5e6), ("1_500", 1500), ("2G", 2e9)]
)
def test_numbers_are_read_as_people_write_them(text: str, number: float) -> None:
    assert read_number("--per-day", text) == number
    assert read_peak("5x") == read_peak("5") == 5


def test_what_cannot_be_read_says_what_to_write() -> None:
    for text in ("", "ten", "-5", "0", "10MM"):
        with pytest.raises(ConfigurationError, match="--per-day"):
            read_number("--per-day", text)
    for text in ("0.5x", "x", ""):
        with pytest.raises(ConfigurationError, match="--peak"):
            read_peak(text)
    for text in ("pigeon=1", "push", "push=-1", "push=nan", "push=0"):
        with pytest.raises(ConfigurationError, match="--channels"):
            read_channels(text)
    with pytest.raises(ConfigurationError, match="must be 1"):
        read_priorities("critical=0.5,high=0.4")
    assert read_channels("push=0.5, in-app=0.5") == {Channel.PUSH: 0.5, Channel.IN_APP: 0.5}


class TestFigures:
    def test_what_was_measured_here_replaces_the_reference_and_is_marked(self, tmp_path: Path) -> None:
        path = tmp_path / "bench.json"
        other = {"name": "e2e.p50", "unit": "ms", "ours": 3, "peer": 1, "peer_name": "x", "ratio": 3}
        path.write_text(json.dumps([{**other, "name": "store.copy", "unit": "rows/s", "ours": 77}, other]))
        figures = read_figures(path)
        assert figures["store.copy"] == Figure("store.copy", 77, "rows/s", measured=True)
        assert figures["store.copy"].source == "measured here"
        assert figures["worker.fcm"].source == "shipped reference"
        assert set(figures) == set(REFERENCE)

    def test_a_file_of_something_else_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "bench.json"
        path.write_text("{}")
        with pytest.raises(ConfigurationError, match="make bench"):
            read_figures(path)
        assert read_figures(tmp_path / "none.json") == REFERENCE


def test_the_command_prints_the_plan_its_reasons_and_where_figures_are_from(tmp_path: Path) -> None:
    arguments = ["plan-capacity", "--per-day", "10M", "--peak", "5x", "--figures", str(tmp_path / "none.json")]
    shown = CliRunner().invoke(app, arguments).stdout
    assert "10,000,000 a day × 5" in shown
    assert "shipped reference" in shown
    made = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert made["partitions"][INGEST] == 12
    assert all(not figure["measured"] for figure in made["figures"])
