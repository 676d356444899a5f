"""librdkafka's own statistics as metrics: what one client tells of itself and of its brokers.

The document: https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md. Brokers, topics and partitions are
added up, so that the only label is the client's name; a client that is made anew under that name counts on.
"""

from typing import Any

import msgspec

from pipeline.observability.metrics import Metrics

EVERY_MS = 15_000
"""Milliseconds between two statistics: as often as Prometheus usually asks."""

_UP = "UP"
_MICRO = 1e-6
_MILLI = 1e-3


class _Window(msgspec.Struct, frozen=True):
    """A rolling window of values, in microseconds or milliseconds."""

    max: int = 0
    p99: int = 0


class _Broker(msgspec.Struct, frozen=True):
    state: str = ""
    nodeid: int = -1
    txerrs: int = 0
    rxerrs: int = 0
    txretries: int = 0
    req_timeouts: int = 0
    rtt: _Window = _Window()
    throttle: _Window = _Window()


class _Partition(msgspec.Struct, frozen=True):
    fetchq_cnt: int = 0


class _Topic(msgspec.Struct, frozen=True):
    partitions: dict[str, _Partition] = {}


class _Document(msgspec.Struct, frozen=True):
    """The part of the document that is used. Totals count from the client's start."""

    msg_cnt: int = 0
    txmsgs: int = 0
    rxmsgs: int = 0
    tx_bytes: int = 0
    rx_bytes: int = 0
    brokers: dict[str, _Broker] = {}
    topics: dict[str, _Topic] = {}


class Statistics:
    """Keeps the metrics of one client current. `heed` may be called in any thread, one call at a time."""

    def __init__(self, metrics: Metrics, client: str) -> None:
        self._metrics = metrics
        self._client = client
        self._decode = msgspec.json.Decoder(_Document).decode
        self._seen: dict[tuple[str, str], int] = {}

    def config(self) -> dict[str, Any]:
        """What to add to the client's configuration."""
        return {"statistics.interval.ms": EVERY_MS, "stats_cb": self.heed}

    def heed(self, text: str) -> None:
        """Take over one document."""
        told, metrics, client = self._decode(text), self._metrics, self._client
        brokers = [broker for broker in told.brokers.values() if broker.nodeid >= 0]
        metrics.kafka_brokers_up.labels(client).set(len({b.nodeid for b in brokers if b.state == _UP}))
        metrics.kafka_request_p99.labels(client).set(max((b.rtt.p99 for b in brokers), default=0) * _MICRO)
        metrics.kafka_throttle.labels(client).set(max((b.throttle.max for b in brokers), default=0) * _MILLI)
        fetched = sum(p.fetchq_cnt for topic in told.topics.values() for p in topic.partitions.values())
        metrics.kafka_queued.labels(client).set(told.msg_cnt + fetched)
        for direction, records, size in (
            ("sent", told.txmsgs, told.tx_bytes),
            ("received", told.rxmsgs, told.rx_bytes),
        ):
            metrics.kafka_records.labels(client, direction).inc(self._more("records", direction, records))
            metrics.kafka_bytes.labels(client, direction).inc(self._more("bytes", direction, size))
        for kind, field in _ERRORS.items():
            total = sum(getattr(broker, field) for broker in told.brokers.values())
            metrics.kafka_request_errors.labels(client, kind).inc(self._more("errors", kind, total))

    def _more(self, what: str, which: str, total: int) -> int:
        """By how much a total has grown; a broker that is forgotten takes its share with it."""
        before = self._seen.get((what, which), 0)
        self._seen[what, which] = total
        return max(0, total - before)


_ERRORS = {"not_sent": "txerrs", "answered": "rxerrs", "timed_out": "req_timeouts", "repeated": "txretries"}
