"""The router's spans: one for each event of a batch, from its record to what follows from it."""

from typing import TYPE_CHECKING

from pipeline.observability.tracing import Tracing

if TYPE_CHECKING:
    from opentelemetry.trace import Span


class EventSpans:
    """The spans of the events that are being decided."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._open: list[Span] = []

    def begin(self, traceparent: bytes | None, event_id: str, event_type: str) -> bytes | None:
        """Begin one; returns the ``traceparent`` of all that follows from the event."""
        attributes = {"notification.event_id": event_id, "notification.event_type": event_type}
        span = self._tracing.begin("route", traceparent, {**attributes, "messaging.system": "kafka"})
        self._open.append(span)
        return self._tracing.traceparent_of(span).encode() or traceparent

    def end(self) -> None:
        """What was decided is handed over to Kafka."""
        ended, self._open = self._open, []
        for span in ended:
            span.end()
