"""Follows the delivery-status topic while the demo runs: how many units are settled, and how long it took."""

import threading
from collections import defaultdict

from confluent_kafka import Message

from pipeline.config import KafkaSettings
from pipeline.demo.latency import Percentiles, percentiles
from pipeline.errors import PipelineError
from pipeline.events.codec import Codec
from pipeline.events.records import Decision
from pipeline.events.vocabulary import TERMINAL, WAITING, Kind, Origin, Status, Verdict
from pipeline.kafka.names import DECISIONS, DELIVERY_STATUS
from pipeline.kafka.reader import read_topics


class Observer:
    """Reads in a thread of its own until `stop`; the numbers may be read at any time.

    `accepted` and `settled` count event × channel. `latencies` are milliseconds from an event's creation to its
    provider's answer, of what was created before `latencies_until` (ms) and did not wait, for each channel: later
    events queue up behind each other on purpose. `released` counts what had waited and was let go.
    """

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._codec = Codec.open()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._units: set[str] = set()
        self._settled: set[str] = set()
        self._waited: set[str] = set()
        self._released: set[str] = set()
        self._latencies: defaultdict[str, list[float]] = defaultdict(list)
        self._sent_at: list[int] = []
        self.latencies_until: float = float("inf")
        self.error: PipelineError | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=10)

    @property
    def accepted(self) -> int:
        return len(self._units)

    @property
    def settled(self) -> int:
        return len(self._settled)

    @property
    def released(self) -> int:
        return len(self._released)

    def latencies(self) -> dict[str, Percentiles]:
        """Percentiles by channel."""
        found = {channel: percentiles(values) for channel, values in sorted(self._latencies.items())}
        return {channel: p for channel, p in found.items() if p is not None}

    def throughput(self, began: int) -> float:
        """Notifications sent a second, over the busiest stretch: from `began` (ms) until nine tenths were out."""
        later = sorted(at for at in self._sent_at if at >= began)
        if len(later) < 10:
            return 0.0
        count = len(later) * 9 // 10
        return count / max(0.001, (later[count - 1] - began) / 1000)

    def _run(self) -> None:
        try:
            for batch in read_topics(self._kafka, [DECISIONS, DELIVERY_STATUS], follow=True):
                for message in batch:
                    self._note(message)
                if self._stopping.is_set():
                    return
        except PipelineError as error:
            self.error = error

    def _note(self, message: Message) -> None:
        if message.topic() == DECISIONS:
            self._note_decision(self._codec.decode_decision(message.value()))
            return
        status = self._codec.decode_status(message.value())
        if status.status in TERMINAL | WAITING:
            self._settled.add(status.notification_id)
            self._units.add(status.notification_id)
        if status.status is Status.DEFERRED:
            self._waited.add(status.notification_id)
        if status.status is Status.RELEASED:
            self._released.add(status.notification_id)
        if status.status is Status.SENT and status.channel:
            self._sent_at.append(status.occurred_at)
            if status.created_at < self.latencies_until and status.notification_id not in self._waited:
                self._latencies[status.channel].append(status.occurred_at - status.created_at)

    def _note_decision(self, decision: Decision) -> None:
        if decision.kind is Kind.REQUEST and decision.origin is Origin.INGEST:
            self._units.update(c.notification_id for c in decision.channels if c.verdict is not Verdict.DUPLICATE)
