"""The engine's metrics, with the labels that never change looked up once."""

from functools import cache

from prometheus_client import Counter

from pipeline.channels.base import ChannelSender
from pipeline.delivery.entry import Final
from pipeline.delivery.steps import Results, was_doubtful
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Priority, Reason, Status
from pipeline.kafka.names import channel_dlq, dispatch_topic
from pipeline.observability.metrics import Metrics

SUCCESS = "success"
"""What `sent` is called in ``notifications_delivered_total{status}``."""


class Observed:
    """What one engine reports. Times in ms since the epoch, durations in seconds."""

    def __init__(self, metrics: Metrics, sender: ChannelSender, priority: Priority) -> None:
        channel = sender.channel
        self._delivered: dict[Status, Counter] = {
            status: metrics.delivered.labels(channel, priority, SUCCESS if status is Status.SENT else status)
            for status in Status
        }
        self._dispatch_to_sent = metrics.dispatch_to_sent.labels(channel)
        self._end_to_end = metrics.end_to_end.labels(channel, priority)
        self._retries = cache(lambda reason: metrics.retries.labels(channel, reason))
        self._in_doubt = metrics.in_doubt.labels(channel)
        self._throttle_waits = cache(metrics.throttle_waits.labels)
        self._suppressed = cache(lambda reason: metrics.suppressed.labels(channel, reason))
        self._deferred = cache(lambda reason: metrics.deferred.labels(channel, reason))
        self._dead_lettered = cache(lambda reason: metrics.dead_lettered.labels(channel_dlq(channel), reason))
        topic = dispatch_topic(channel, priority)
        self.in_flight = metrics.in_flight.labels(topic)
        self.lanes_parked = metrics.lanes_parked.labels(topic)
        self.ledger_calls = metrics.ledger_calls.labels(topic)
        self.partitions_held = metrics.partitions_held.labels(topic)

    def tried(self, results: Results) -> None:
        if any(was_doubtful(result) for _, result in results):
            self._in_doubt.inc()

    def taken_over_in_doubt(self) -> None:
        self._in_doubt.inc()

    def retrying(self, reason: Reason) -> None:
        self._retries(reason).inc()

    def throttled(self, provider: str) -> None:
        self._throttle_waits(provider).inc()

    def rejected(self, reason: Reason) -> None:
        """A record that cannot be read; it never became a notification."""
        self._dead_lettered(reason).inc()

    def ended(self, dispatch: Dispatch, final: Final) -> None:
        self._delivered[final.status].inc()
        match final.status:
            case Status.SENT:
                self._dispatch_to_sent.observe(max(0, final.occurred_at - dispatch.decided_at) / 1000)
                self._end_to_end.observe(max(0, final.occurred_at - dispatch.event.created_at) / 1000)
            case Status.SUPPRESSED:
                self._suppressed(final.reason).inc()
            case Status.DEFERRED:
                self._deferred(final.reason).inc()
            case Status.DEAD_LETTERED:
                self._dead_lettered(final.reason).inc()
