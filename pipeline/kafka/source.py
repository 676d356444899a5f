"""A Kafka consumer for asyncio: a thread owns it, never stops polling, and asks the event loop before it lets go."""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.config import KafkaSettings
from pipeline.errors import Unavailable
from pipeline.kafka.client import consumer_config
from pipeline.kafka.committing import TOO_LARGE, Commits, refusals
from pipeline.kafka.group_protocol import GroupProtocol, group_config
from pipeline.kafka.inbound import Inbound, Listener, Offsets, Room, inbound
from pipeline.kafka.newcomers import Newcomers
from pipeline.kafka.pauses import Pauses
from pipeline.kafka.reach import Reach
from pipeline.kafka.standing import Standing
from pipeline.kafka.statistics import Statistics
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics

logger = logging.getLogger(__name__)

T = TypeVar("T")

POLL = 0.1
"""Seconds that one poll waits: how long a commit or a stop may have to wait for the thread."""

HURRIED_POLL = 0.005
"""The same after the first records of a partition: nothing of them is sent before there is a commit of ours."""

GRACE = 2.0
"""Seconds beyond the drain timeout that the thread waits for the loop's answer to a revocation."""

FETCH_AHEAD: dict[str, str | int] = {
    "queued.max.messages.kbytes": 2_048,
    "fetch.max.bytes": 2_097_152,
    "max.partition.fetch.bytes": 262_144,
}
"""A process has a consumer for each priority, and what a fetch brings unpacks to several times its size."""

CLOSE_TIMEOUT = 10.0
"""Seconds that leaving the group may take. Killed at that point, the group notices by the session timeout."""


class KafkaSource:
    """Reads one topic as a member of a group. `limit` records at most are handed out and not given back.

    While Kafka is away it waits and says so once in a while (log, ``health``); only what waiting cannot mend ends it.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: str,
        group: str,
        listener: Listener,
        health: Health,
        *,
        protocol: GroupProtocol,
        limit: int,
        batch: int,
        drain_timeout: float,
        metrics: Metrics | None = None,
    ) -> None:
        self._rebalances = metrics.rebalances.labels(topic) if metrics else None
        self._reach = Reach(kafka)
        self._config: dict[str, Any] = {
            **consumer_config(kafka, group, {**FETCH_AHEAD, **group_config(protocol)}),
            "error_cb": self._on_error,
            "on_commit": self._on_commit,
            "log_level": 0,
            **(Statistics(metrics, topic).config() if metrics else {}),
        }
        self._topic = topic
        self._listener = listener
        self._standing = Standing(topic, health, self._tell, limit=kafka.poll_limit + drain_timeout)
        self._room = Room(limit, batch)
        self._batch = batch
        self._drain_timeout = drain_timeout
        self._stopping = threading.Event()
        self._stop_asked = asyncio.Event()
        self._commits = Commits(topic)
        self._revoked: set[int] = set()
        self._pauses = Pauses(self._room)
        self._uncommitted: set[int] = set()
        self._newcomers = Newcomers(topic)
        self._unended: set[int] = set()
        self._hurrying = False

    async def run(self) -> None:
        """Read until `stop`; on the way out the group is left in order.

        Raises:
            Unavailable: librdkafka cannot go on; the text says why.
        """
        self._loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = self._loop.create_future()
        threading.Thread(target=self._own, args=(ended,), name=f"consumer {self._topic}", daemon=True).start()
        stop = asyncio.ensure_future(self._stop_asked.wait())
        either: list[asyncio.Future[Any]] = [ended, stop]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([ended], timeout=self._drain_timeout + GRACE + CLOSE_TIMEOUT)
            if ended.done():
                ended.result()
            else:
                logger.warning("left the group of %s without a word: Kafka does not answer", self._topic)
        finally:
            stop.cancel()
            self.stop()

    def stop(self) -> None:
        """Leave the group: partitions are revoked first."""
        self._standing.end()
        self._stop_asked.set()
        self._stopping.set()
        self._room.open()

    def commit(self, offsets: Offsets) -> None:
        """Commit soon; a later call replaces what was not committed yet."""
        self._commits.add(offsets)

    def hold(self, partitions: AbstractSet[int]) -> None:
        """Read nothing of these until a later call does not name them."""
        self._pauses.hold(partitions)

    def give_back(self, count: int = 1) -> None:
        """So many of the records handed out are finished."""
        self._room.give_back(count)

    # What follows runs in the thread that owns the consumer.

    def _own(self, ended: "asyncio.Future[None]") -> None:
        error: BaseException | None = None
        try:
            self._consume()
        except KafkaException as failure:
            error = Unavailable(f"cannot read {self._topic}: {failure.args[0].str()}")
        except BaseException as failure:  # noqa: BLE001  # handed over to whoever awaits `run`
            error = failure
        self._tell(_settle, ended, error)

    def _consume(self) -> None:
        consumer = Consumer(self._config)
        self._standing.begin()
        try:
            consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            while not self._stopping.is_set():
                if refused := self._commits.make(consumer):
                    self._tell(self._listener.commit_refused, refused)
                paused = self._pauses.heed(consumer, self._stopping.is_set)
                self._revoked.clear()
                if messages := self._fetch(consumer, paused):
                    self._hand_out(consumer, messages)
                self._welcome(consumer)
                self._look_whether_back(consumer)
        finally:
            self._standing.end()
            consumer.close()

    def _fetch(self, consumer: Consumer, paused: bool) -> list[Message]:
        """`poll` returns with the first record, `consume` would wait for the last."""
        hurried = self._hurrying or self._newcomers
        first = consumer.poll(HURRIED_POLL if hurried else POLL / 2 if paused else POLL)
        self._standing.polled()
        if first is None:
            return []
        if paused or self._newcomers:
            return [first]
        return [first, *consumer.consume(self._room.at_most(self._batch) - 1, 0)]

    def _hand_out(self, consumer: Consumer, messages: list[Message]) -> None:
        records = [inbound(message) for message in messages if self._is_record(message)]
        if self._revoked:
            records = [record for record in records if record.partition not in self._revoked]
        if not records:
            return
        self._standing.answers()
        if self._newcomers:
            records = self._newcomers.keep_back(records)
        self._hand_over(consumer, records)

    def _hand_over(self, consumer: Consumer, records: list[Inbound]) -> None:
        if not records:
            return
        if self._unended:
            self._tell_ends(consumer, {record.partition for record in records} & self._unended)
        if self._uncommitted:
            self._hurrying = not self._uncommitted.isdisjoint(record.partition for record in records)
        self._room.take(len(records))
        self._tell(self._listener.received, records)

    def _tell_ends(self, consumer: Consumer, partitions: set[int]) -> None:
        """From what came with the records: the broker need not be asked."""
        ends = {n: consumer.get_watermark_offsets(TopicPartition(self._topic, n), cached=True)[1] for n in partitions}
        self._tell(self._listener.ends, {number: end for number, end in ends.items() if end >= 0})
        self._unended -= partitions

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.fatal():
            raise KafkaException(error)
        self._standing.away(f"cannot read {self._topic}: {error.str()}")
        return False

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = set(_numbers(partitions))
        self._pauses.came(numbers)
        if self._rebalances:
            self._rebalances.inc()
        self._standing.joined()
        self._uncommitted |= numbers
        self._newcomers.came(numbers, self._revoked)

    def _welcome(self, consumer: Consumer) -> None:
        """Hand over the partitions that came to us, each with its first records."""
        if not self._newcomers or (recalled := self._newcomers.recall(consumer)) is None:
            return
        committed, early = recalled
        self._unended |= {number for number, position in committed.items() if position and position.metadata}
        self._tell(self._listener.assigned, committed)
        self._hand_over(consumer, early)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = _numbers(partitions)
        offsets = self._ask(self._listener.revoked(numbers), self._drain_timeout + GRACE) or {}
        self._forget(numbers)
        if offsets:
            self._commits.make_last(consumer, offsets)

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        codes = refusals(error, partitions)
        if TOO_LARGE in codes:
            self._tell(self._listener.metadata_refused)
        elif not codes:
            self._uncommitted.difference_update(_numbers(partitions))
            self._hurrying = self._hurrying and bool(self._uncommitted)
            self._tell(self._listener.committed, _numbers(partitions))
        elif KafkaError._NO_OFFSET not in codes:  # noqa: SLF001
            why = error.str() if error is not None else ", ".join(str(KafkaError(code)) for code in codes)
            logger.warning("a commit failed: %s; it is made again", why)
            self._tell(self._listener.commit_refused, _numbers(partitions))

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = _numbers(partitions)
        logger.warning("lost partitions %s of %s: the group did not hear of us in time", numbers, self._topic)
        self._forget(numbers)
        self._standing.lost()
        self._tell(self._listener.lost, numbers)

    def _forget(self, numbers: list[int]) -> None:
        self._revoked.update(numbers)
        self._uncommitted.difference_update(numbers)
        self._unended.difference_update(numbers)
        self._newcomers.went(numbers)
        self._commits.forget(numbers)

    def _on_error(self, error: KafkaError) -> None:
        self._reach.note(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # librdkafka's own codes are spelled so
            self._standing.away(self._reach.failure(error.str()))

    def _look_whether_back(self, consumer: Consumer) -> None:
        if not self._standing.should_look():
            return
        try:
            metadata = consumer.list_topics(self._topic, timeout=1).topics[self._topic]
        except KafkaException:
            return
        if metadata.error is None:
            self._standing.looked()

    def _tell(self, call: Callable[..., object], *arguments: object) -> None:
        """Without waiting; a loop that is closed has nobody left to tell."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    def _ask(self, question: Coroutine[Any, Any, T], timeout: float) -> T | None:
        if self._loop.is_closed():
            question.close()
            return None
        answer = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return answer.result(timeout)
        except TimeoutError:
            answer.cancel()
            return None


def _numbers(partitions: Sequence[TopicPartition]) -> list[int]:
    return [partition.partition for partition in partitions]


def _settle(future: "asyncio.Future[None]", error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
