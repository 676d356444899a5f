"""OpenTelemetry spans: an event's way from the gateway over router and worker to the provider as one trace.

Between processes the trace travels as the record header ``traceparent`` (W3C Trace Context). All here is used only
where `open_tracing` gives a `Tracing`: while it gives None nothing of this is in anybody's way.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.config import TracingSettings
from pipeline.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

_QUIET: dict[str, Any] = {"record_exception": False, "set_status_on_exception": False}
"""An exception's text may hold what a user sent."""

Attributes = Mapping[str, str | int | float | bool]


def open_tracing(settings: TracingSettings, service: str) -> "Tracing | None":
    """What makes the spans of this process; None: tracing is off.

    Raises:
        ConfigurationError: it is on, and the extra is not installed.
    """
    if not settings.endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError:
        raise ConfigurationError(
            "tracing.endpoint is set, and OpenTelemetry is not installed: pip install 'notification-pipeline[otel]'"
        ) from None

    resource = Resource.create({"service.name": service, "service.namespace": "notifications"})
    provider = TracerProvider(resource=resource, sampler=ParentBased(TraceIdRatioBased(settings.sample)))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)))
    return Tracing(provider)


class Tracing:
    """Makes spans. Context within a process is OpenTelemetry's own; tasks inherit it."""

    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer: Tracer = provider.get_tracer("pipeline")
        self._propagator = TraceContextTextMapPropagator()

    def close(self) -> None:
        """Send what is left; waits at most for the exporter's time-out."""
        self._provider.shutdown()

    @contextmanager
    def serving(self, name: str, traceparent: str, attributes: Attributes) -> Iterator["Span"]:
        """The span of a request that came in; it is the current one meanwhile."""
        from opentelemetry.trace import SpanKind

        context = self._context(traceparent)
        with self._tracer.start_as_current_span(name, context, SpanKind.SERVER, attributes, **_QUIET) as span:
            yield span

    @contextmanager
    def consuming(self, name: str, traceparent: bytes | None, attributes: Attributes) -> Iterator["Span"]:
        """The span of work on a record; it is the current one meanwhile."""
        from opentelemetry.trace import SpanKind

        context = self._context((traceparent or b"").decode("ascii", "replace"))
        with self._tracer.start_as_current_span(name, context, SpanKind.CONSUMER, attributes, **_QUIET) as span:
            yield span

    @contextmanager
    def calling(self, name: str, attributes: Attributes) -> Iterator["Span"]:
        """The span of a call to a provider, below the current one."""
        from opentelemetry.trace import SpanKind

        with self._tracer.start_as_current_span(name, None, SpanKind.CLIENT, attributes, **_QUIET) as span:
            yield span

    def begin(self, name: str, traceparent: bytes | None, attributes: Attributes) -> "Span":
        """A span of work on a record, among many at once; whoever begins it ends it."""
        from opentelemetry.trace import SpanKind

        context = self._context((traceparent or b"").decode("ascii", "replace"))
        return self._tracer.start_span(name, context, SpanKind.CONSUMER, attributes)

    def mark_failed(self, span: "Span", why: str) -> None:
        """`why` is a word of a provider's error table, never its message."""
        from opentelemetry.trace import Status, StatusCode

        span.set_status(Status(StatusCode.ERROR, why))

    def traceparent_of(self, span: "Span") -> str:
        """What to write into the header of a record that follows from it."""
        from opentelemetry.trace import set_span_in_context

        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        return carrier.get("traceparent", "")

    def _context(self, traceparent: str) -> "Context":
        """That of the header alone; an empty one begins a trace."""
        from opentelemetry.context import Context

        return self._propagator.extract({"traceparent": traceparent}, Context())
