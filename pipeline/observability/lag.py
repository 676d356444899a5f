"""How far each consumer group is behind, and how deep each dead-letter topic is: read from the cluster's offsets."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined] # not in its __all__

from pipeline.config import KafkaSettings
from pipeline.errors import Unavailable
from pipeline.events.vocabulary import Channel, Priority
from pipeline.kafka.handled import Handled
from pipeline.kafka.handled_topic import dlq_topic_ids, read_handled
from pipeline.kafka.names import (
    DECISIONS,
    DEFERRED,
    DELIVERY_STATUS,
    DLQ_HANDLED,
    DLQ_TOPICS,
    INGEST,
    ROUTER_GROUP,
    SCHEDULER_GROUP,
    STORE_GROUP,
    dispatch_topic,
    worker_group,
)
from pipeline.kafka.reach import Reach
from pipeline.observability.health import Health
from pipeline.observability.lag_age import Ages
from pipeline.observability.metrics import Metrics
from pipeline.observability.patience import until_available

T = TypeVar("T")

GROUPS: dict[str, str] = {
    ROUTER_GROUP: INGEST,
    **{worker_group(c, p): dispatch_topic(c, p) for c in Channel for p in Priority},
    SCHEDULER_GROUP: DEFERRED,
}
"""Every consumer group whose lag means notifications that nobody has finished, and the topic it reads."""

_NOTHING_HANDLED: tuple[tuple[int, ...], dict[str, str]] = ((), {})
OBSERVERS: dict[str, str] = {STORE_GROUP: DELIVERY_STATUS}
"""Groups of ours that only look on: their lag holds up no notification."""

_EARLIEST = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_TIMEOUT = 3.0
_AT_ONCE = 3
_RECORDED = (DECISIONS, DELIVERY_STATUS)
_ATTEMPTS = 10
_PAUSE = 0.3

_PASSING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._TIMED_OUT,  # noqa: SLF001 -- librdkafka's own codes are spelled that way
    }
)
"""A leader or coordinator is moving, or the cluster sets up its first coordinator: ask again.

librdkafka's admin calls do not refresh their metadata themselves, and a request to a coordinator that is only just
being made may never be answered.
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """One group on one topic, partition by partition: the end of the log, and what the group has finished."""

    group: str
    topic: str
    ends: tuple[int, ...]
    finished: tuple[int, ...]

    @property
    def lag(self) -> int:
        """Records not yet finished."""
        return sum(max(0, end - done) for end, done in zip(self.ends, self.finished, strict=True))


@dataclass(frozen=True, slots=True)
class Offsets:
    """The cluster at one moment.

    `depths`: the records of each dead-letter topic that are open, that is neither deleted yet nor replayed or dropped.
    `lows`: the first offset that each partition of the decisions and delivery-status topics still has.
    """

    progress: tuple[Progress, ...]
    depths: dict[str, int]
    lows: dict[str, tuple[int, ...]]

    def of(self, group: str) -> Progress:
        return next(p for p in self.progress if p.group == group)


class OffsetReader:
    """Reads `Offsets`. Holds one admin client; its calls block for up to some seconds."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._handled, self._handled_at = Handled({}), _NOTHING_HANDLED
        self._reach = Reach(kafka)
        self._admin = AdminClient(self._reach.client_config())  # type: ignore[arg-type] # the stub forgets callbacks

    def read(self) -> Offsets:
        """Committed offsets first, ends after: a lag of zero then means that all up to these ends was finished.

        Raises:
            Unavailable: Kafka or a topic is not there.
        """
        return self._persistently(self._read)

    def _persistently(self, ask: Callable[[], T]) -> T:
        attempts = 0
        while True:
            try:
                return ask()
            except KafkaException as error:
                attempts += 1
                if error.args[0].code() not in _PASSING or attempts == _ATTEMPTS:
                    raise Unavailable(self._reach.failure(error.args[0].str())) from error
                time.sleep(_PAUSE)

    def lag_of(self, group: str) -> int:
        """Records that one group has not finished. Raises as `read`."""
        return self._persistently(lambda: self._progress_of(group)).lag

    def behind(self, group: str) -> tuple[int, dict[tuple[str, int], int]]:
        """Records that one group has not finished, and the first of them in each partition. Raises as `read`."""
        progress = self._persistently(lambda: self._progress_of(group))
        pairs = enumerate(zip(progress.finished, progress.ends, strict=True))
        return progress.lag, {(progress.topic, number): done for number, (done, end) in pairs if done < end}

    def depth_of(self, topic: str) -> int:
        """Dead letters of one topic that nobody has replayed or dropped. Raises as `read`."""
        return self._persistently(lambda: self._depth_of(topic))

    def _progress_of(self, group: str) -> Progress:
        topic = (GROUPS | OBSERVERS)[group]
        partitions = self._reach.partitions(self._admin, topic)
        committed = self._committed(group, partitions)
        lows, ends = self._bounds(partitions, _EARLIEST), self._bounds(partitions, _LATEST)
        return _progress(group, topic, partitions, committed, lows, ends)

    def _depth_of(self, topic: str) -> int:
        partitions = self._reach.partitions(self._admin, topic)
        marks = self._reach.partitions_if_any(self._admin, DLQ_HANDLED)
        lows, ends = self._bounds(partitions, _EARLIEST), self._bounds([*marks, *partitions], _LATEST)
        handled = self._handled_up_to(tuple(ends[p] for p in marks))
        return sum(ends[p] - lows[p] - handled.count(*p, lows[p], ends[p]) for p in partitions)

    def _read(self) -> Offsets:
        topics = (*GROUPS.values(), *DLQ_TOPICS, *_RECORDED)
        partitions = {topic: self._reach.partitions(self._admin, topic) for topic in topics}
        marks = self._reach.partitions_if_any(self._admin, DLQ_HANDLED)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = pool.map(lambda group: self._committed(group, partitions[GROUPS[group]]), GROUPS)
            committed = dict(zip(GROUPS, answers, strict=True))
        everything = [*marks, *(position for topic in topics for position in partitions[topic])]
        lows = self._bounds(everything, _EARLIEST)
        ends = self._bounds(everything, _LATEST)
        progress = tuple(
            _progress(group, topic, partitions[topic], committed[group], lows, ends) for group, topic in GROUPS.items()
        )
        handled = self._handled_up_to(tuple(ends[p] for p in marks))
        depths = {
            topic: sum(ends[p] - lows[p] - handled.count(*p, lows[p], ends[p]) for p in partitions[topic])
            for topic in DLQ_TOPICS
        }
        return Offsets(progress, depths, {t: tuple(lows[p] for p in partitions[t]) for t in _RECORDED})

    def _handled_up_to(self, ends: tuple[int, ...]) -> Handled:
        """Read anew only when there is something new: that is when somebody replays or drops."""
        if not any(ends):
            return Handled({})
        ids = dlq_topic_ids(self._admin)
        if self._handled_at != (ends, ids):
            self._handled, self._handled_at = read_handled(self._kafka, ids), (ends, ids)
        return self._handled

    def _committed(self, group: str, partitions: list[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Asked by a consumer that never joins: librdkafka's admin call for it ends the process with a segmentation
        fault when a coordinator moves (librdkafka#5040).
        """
        consumer = Consumer({**self._reach.client_config(), "group.id": group})
        try:
            answers = consumer.committed([TopicPartition(*position) for position in partitions], timeout=_TIMEOUT)
        finally:
            consumer.close()
        for answer in answers:
            if answer.error is not None:
                raise KafkaException(answer.error)
        return {(answer.topic, answer.partition): answer.offset for answer in answers}

    def _bounds(self, positions: list[tuple[str, int]], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        request = {TopicPartition(*position): spec for position in positions}
        answers = self._admin.list_offsets(request, request_timeout=_TIMEOUT)
        return {(tp.topic, tp.partition): future.result().offset for tp, future in answers.items()}


def _progress(
    group: str,
    topic: str,
    partitions: list[tuple[str, int]],
    committed: dict[tuple[str, int], int],
    lows: dict[tuple[str, int], int],
    ends: dict[tuple[str, int], int],
) -> Progress:
    finished = tuple(max(committed.get(position, -1), lows[position]) for position in partitions)
    return Progress(group, topic, tuple(ends[position] for position in partitions), finished)


async def sample_lag(kafka: KafkaSettings, metrics: Metrics, health: Health, *, every: float = 15.0) -> None:
    """Keep the lag and depth gauges current until cancelled, each of them about `every` seconds.

    One group or topic after the other: asking for all at once costs the process, and the broker, a tenth of a second
    in which records wait. Waits while Kafka is away.
    """
    sampler = Sampler(kafka, metrics, health)
    pause = every / (len(GROUPS) + len(DLQ_TOPICS))
    while True:
        for group in GROUPS:
            await sampler.group(group)
            await asyncio.sleep(pause)
        for topic in DLQ_TOPICS:
            await sampler.letters(topic)
            await asyncio.sleep(pause)


class Sampler:
    """Asks for one group or one dead-letter topic at a time, and shows what it is told. Waits while Kafka is away."""

    def __init__(self, kafka: KafkaSettings, metrics: Metrics, health: Health) -> None:
        self._reader = OffsetReader(kafka)
        self._ages = Ages(kafka)
        self._metrics = metrics
        self._health = health

    async def group(self, group: str) -> None:
        topic = (GROUPS | OBSERVERS)[group]
        lag, seconds = await self._patiently(partial(self._ask, group))
        self._metrics.consumer_lag.labels(group, topic).set(lag)
        self._metrics.consumer_lag_seconds.labels(group, topic).set(seconds)

    async def letters(self, topic: str) -> None:
        depth = await self._patiently(partial(self._reader.depth_of, topic))
        self._metrics.dlq_depth.labels(topic).set(depth)

    def _ask(self, group: str) -> tuple[int, float]:
        lag, first = self._reader.behind(group)
        return lag, self._ages.oldest(group, first)

    async def _patiently(self, question: Callable[[], T]) -> T:
        return await until_available(
            "kafka", lambda: asyncio.to_thread(question), away=(Unavailable,), health=self._health
        )
