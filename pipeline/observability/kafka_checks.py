"""The brokers, the topics against their files, and what is queued."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # not in its __all__
    AdminClient,
    ClusterMetadata,
    OffsetSpec,
)

from pipeline.config import KafkaSettings
from pipeline.errors import TopologyError, Unavailable
from pipeline.kafka.names import ALL_TOPICS, DELIVERY_STATUS, INGEST, STORE_GROUP
from pipeline.kafka.reach import METADATA_SECONDS, Reach
from pipeline.kafka.topology import missing_topics, plan_topics
from pipeline.kafka.topology_plan import Action, Change
from pipeline.observability.clock_checks import Reading, now, skew_finding
from pipeline.observability.finding import Finding, Level
from pipeline.observability.lag import GROUPS, OBSERVERS, OffsetReader, Offsets
from pipeline.observability.redaction import redact

CLOCK_GROUP = "notification-doctor"
OFFSETS_TOPIC = "__consumer_offsets"
PLAN = "pipeline topics plan shows each; pipeline topics apply carries it out"


class Difference(NamedTuple):
    """How one kind of difference is told."""

    name: str
    detail: str
    remedy: str


DIFFERENCES: Mapping[Action, Difference] = {
    Action.ADD_PARTITIONS: Difference(
        "topic partitions",
        "fewer partitions than their files say",
        f"{PLAN}, in a quiet hour: a user's order is not kept across it",
    ),
    Action.REFUSE: Difference(
        "topic partitions above files",
        "more partitions than their files say",
        "put the cluster's number into topics/*.yaml: partitions are never taken away",
    ),
    Action.REASSIGN: Difference(
        "topic replicas",
        "another replication factor than their files say",
        "kafka-reassign-partitions; with one replica a broker that is lost takes records along",
    ),
    Action.SET: Difference("topic settings", "other settings than their files say", PLAN),
    Action.UNKNOWN: Difference("topic strays", "no file", "name them in topics/*.yaml, or delete them"),
}


def examine_kafka(kafka: KafkaSettings) -> list[Finding]:
    """Whether it answers and its topics are as they should be; then lag, dead letters and its clock. Blocks."""
    reach = Reach(kafka)
    try:
        admin = AdminClient(reach.client_config())  # type: ignore[arg-type]  # the stub forgets callbacks
        metadata = admin.list_topics(timeout=METADATA_SECONDS)
        missing = missing_topics(kafka)
    except KafkaException as error:
        why, remedy = _why_not(error, reach)
        return [Finding("kafka", Level.FAIL, redact(why), remedy)]
    except Unavailable as error:
        return [Finding("kafka", Level.FAIL, str(error), "start Kafka or correct the address")]
    found = [Finding("kafka", Level.OK, f"answers at {kafka.bootstrap_servers}"), *partition_findings(metadata)]
    if missing:
        return [*found, Finding("topics", Level.FAIL, f"missing: {', '.join(missing)}", "pipeline topics apply")]
    found += [Finding("topics", Level.OK, f"all {len(ALL_TOPICS)} are there"), *_topics(kafka)]
    return [*found, *_queues(kafka), *_readers(admin), *_clock(kafka, admin)]


def _why_not(error: KafkaException, reach: Reach) -> tuple[str, str]:
    """A property that librdkafka does not know is told before anything is sent."""
    what = error.args[0].str()
    if "configuration property" in what or "Invalid value" in what:
        return what, "correct kafka.client (PIPELINE_KAFKA__CLIENT)"
    return reach.failure(what), "start Kafka, or set PIPELINE_KAFKA__BOOTSTRAP_SERVERS and kafka.client"


def partition_findings(metadata: ClusterMetadata) -> Iterator[Finding]:
    """The brokers, and partitions of ours without a leader or with replicas that are behind. Pure."""
    leaderless, behind = [], []
    for name in sorted(set(ALL_TOPICS) & set(metadata.topics)):
        for number, partition in sorted(metadata.topics[name].partitions.items()):
            if partition.leader < 0:
                leaderless.append(f"{name}/{number}")
            elif len(partition.isrs) < len(partition.replicas):
                behind.append(f"{name}/{number}")
    if leaderless:
        detail = f"without a leader, nothing can be written: {', '.join(leaderless)}"
        yield Finding("brokers", Level.FAIL, detail, "start the brokers that hold them")
    elif behind:
        detail = f"brokers that answer: {len(metadata.brokers)}; replicas are missing or behind: {', '.join(behind)}"
        yield Finding("brokers", Level.WARN, detail, "is a broker down or its disk full? look at its log")
    else:
        yield Finding("brokers", Level.OK, f"brokers that answer: {len(metadata.brokers)}; every replica is in sync")


def _topics(kafka: KafkaSettings) -> list[Finding]:
    try:
        return topic_findings(plan_topics(kafka))
    except (TopologyError, Unavailable) as error:
        return [Finding("topic settings", Level.WARN, str(error), "may our user describe topics' configurations?")]


def topic_findings(changes: Iterable[Change]) -> list[Finding]:
    """One for each way in which topics differ from their files. Pure."""
    topics: dict[Action, list[str]] = {}
    for change in changes:
        topics.setdefault(change.action, []).append(change.topic)
    return [
        Finding(kind.name, Level.WARN, f"{len(names)} with {kind.detail}: {_some(names)}", kind.remedy)
        for action, kind in DIFFERENCES.items()
        if (names := list(dict.fromkeys(topics.get(action, ()))))
    ] or [Finding("topic settings", Level.OK, "as their files say")]


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _queues(kafka: KafkaSettings) -> list[Finding]:
    reader = OffsetReader(kafka)
    try:
        return [*depth_findings(reader.read()), *store_findings(reader.lag_of(STORE_GROUP))]
    except Unavailable as error:
        return [Finding("lag", Level.FAIL, str(error), "look at the brokers' logs")]


def depth_findings(offsets: Offsets) -> Iterable[Finding]:
    """One for each consumer group that is behind and each dead-letter topic that has open ones; pure."""
    behind = [progress for progress in offsets.progress if progress.lag]
    for progress in behind:
        yield Finding(
            f"lag {progress.group}",
            Level.WARN,
            f"{progress.lag} records of {progress.topic} not finished",
            "if it does not fall: is the service running, is its provider up? else add replicas",
        )
    if not behind:
        yield Finding("lag", Level.OK, f"none in {len(offsets.progress)} consumer groups; the queues are empty")
    letters = {topic: depth for topic, depth in offsets.depths.items() if depth}
    for topic, depth in letters.items():
        remedy = f"pipeline dlq list --topic {topic}; once the cause is mended, pipeline dlq replay"
        yield Finding(f"dead letters {topic}", Level.WARN, f"{depth} open", remedy)
    if not letters:
        yield Finding("dead letters", Level.OK, "none")


def store_findings(lag: int) -> Iterator[Finding]:
    """How far the history is behind; it holds up no notification. Pure."""
    if lag:
        detail = f"{lag} records of {DELIVERY_STATUS} not in the history yet"
        yield Finding(f"lag {STORE_GROUP}", Level.WARN, detail, "if it does not fall: is `pipeline store` running?")
    else:
        yield Finding(f"lag {STORE_GROUP}", Level.OK, "none")


def _readers(admin: AdminClient) -> list[Finding]:
    """Brokers that cannot tell who is in a group are no fault of the set-up."""
    groups = [*GROUPS, *OBSERVERS]
    try:
        answers = admin.describe_consumer_groups(groups, request_timeout=METADATA_SECONDS)
        idle = [group for group in groups if _is_empty(answers[group].result())]
    except KafkaException:
        return []
    if not idle:
        return [Finding("consumers", Level.OK, f"each of the {len(groups)} groups has a member")]
    detail = f"nobody reads for {len(idle)} of {len(groups)} groups: {_some(idle)}"
    return [
        Finding("consumers", Level.WARN, detail, "start their services, or scale them from 0; unless they are not used")
    ]


def _is_empty(group: object) -> bool:
    state = getattr(group, "state", None)
    return state in {ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD} or not getattr(group, "members", ())


def _clock(kafka: KafkaSettings, admin: AdminClient) -> list[Finding]:
    """The time that the broker gave to a commit of ours; the group is deleted again.

    Kafka tells its time nowhere else. A cluster that lets us not look there is no fault of the set-up.
    """
    try:
        reading = _commit_and_look(kafka, admin)
    except KafkaException as error:
        return [Finding("clock kafka", Level.OK, f"cannot be asked: {error.args[0].str()}")]
    return [skew_finding("kafka", reading)] if reading else []


def _commit_and_look(kafka: KafkaSettings, admin: AdminClient) -> Reading | None:
    consumer = Consumer({**Reach(kafka).client_config(), "group.id": CLOCK_GROUP, "enable.auto.commit": False})
    try:
        before = now()
        consumer.commit(offsets=[TopicPartition(INGEST, 0, 0)], asynchronous=False)
        after = now()
    finally:
        consumer.close()
    try:
        stamp = _latest_stamp(admin)
    finally:
        admin.delete_consumer_groups([CLOCK_GROUP], request_timeout=METADATA_SECONDS)[CLOCK_GROUP].exception()
    return Reading(stamp / 1000, before, after) if stamp > 0 else None


def _latest_stamp(admin: AdminClient) -> int:
    """Milliseconds; of whichever commit was the last, ours or a later one."""
    numbers = admin.list_topics(OFFSETS_TOPIC, timeout=METADATA_SECONDS).topics[OFFSETS_TOPIC].partitions
    latest = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
    request = {TopicPartition(OFFSETS_TOPIC, number): latest for number in numbers}
    if not request:
        return 0
    answers = admin.list_offsets(request, request_timeout=METADATA_SECONDS)
    return max(int(answer.result().timestamp) for answer in answers.values())
