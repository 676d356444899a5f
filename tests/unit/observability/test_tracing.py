"""An event's way is one trace, from the request to the provider; and nothing of it is there where it is off."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pipeline.config import TracingSettings
from pipeline.errors import ConfigurationError
from pipeline.kafka.tracing import trace_id
from pipeline.observability.context import About, about, add_ids
from pipeline.observability.tracing import Tracing, open_tracing
from pipeline.routing.traced import EventSpans

CAME = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def kept() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(kept: InMemorySpanExporter) -> Iterator[Tracing]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracing = Tracing(provider)
    yield tracing
    tracing.close()


def by_name(kept: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in kept.get_finished_spans()}


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


async def test_request_decision_delivery_and_call_are_one_trace(tracing: Tracing, kept: InMemorySpanExporter) -> None:
    with tracing.serving("POST /v1/events", CAME, {}) as span:
        sent = tracing.traceparent_of(span).encode()
    spans = EventSpans(tracing)
    routed = spans.begin(sent, "evt_1", "order.shipped")
    spans.end()

    async def call() -> None:
        with tracing.calling("send fcm", {"notification.provider": "fcm"}):
            await asyncio.sleep(0)

    with tracing.consuming("deliver push", routed, {"notification.id": "n"}):
        await asyncio.gather(call())
    found = by_name(kept)
    chain = [found[name] for name in ("POST /v1/events", "route", "deliver push", "send fcm")]
    assert {span.context.trace_id for span in chain if span.context} == {int(trace_id(CAME.encode()), 16)}
    ids = [span.context.span_id for span in chain if span.context]
    assert [parent_of(span) for span in chain] == [int(CAME.split("-")[2], 16), *ids[:-1]]


def test_an_event_without_a_trace_begins_one_and_two_events_have_two(
    tracing: Tracing, kept: InMemorySpanExporter
) -> None:
    spans = EventSpans(tracing)
    made = [spans.begin(None, f"evt_{n}", "order.shipped") for n in range(2)]
    assert not kept.get_finished_spans()
    spans.end()
    assert len({trace_id(traceparent) for traceparent in made} - {""}) == 2
    assert len(kept.get_finished_spans()) == 2


@pytest.mark.parametrize("broken", [b"", b"\xff" * 55, b"00-zz-yy-01", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"])
def test_a_broken_header_begins_a_trace(tracing: Tracing, kept: InMemorySpanExporter, broken: bytes) -> None:
    with tracing.consuming("deliver push", broken, {}):
        pass
    assert parent_of(kept.get_finished_spans()[0]) is None


def test_what_an_exception_says_gets_into_no_span(tracing: Tracing, kept: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="ann@example"), tracing.serving("POST /v1/events", "", {}):
        raise ValueError("ann@example.com is no address")
    assert "ann@example" not in kept.get_finished_spans()[0].to_json()


def test_off_it_is_nothing_and_on_it_needs_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_tracing(TracingSettings(), "router") is None

    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match=r"notification-pipeline\[otel\]"):
        open_tracing(TracingSettings(endpoint="http://127.0.0.1:1/v1/traces"), "router")


def test_a_log_line_carries_the_ids_of_what_is_in_hand_and_its_own_first() -> None:
    def fields(**extra: Any) -> dict[str, Any]:
        record = logging.LogRecord("x", logging.INFO, "", 0, "told", (), None)
        record.__dict__.update(extra)
        assert add_ids(record)
        return record.__dict__

    assert "notification_id" not in fields()
    token = about.set(About("n1", "e1", ""))
    try:
        assert (fields()["notification_id"], fields()["event_id"]) == ("n1", "e1")
        assert "trace_id" not in fields()
        assert fields(notification_id="own")["notification_id"] == "own"
    finally:
        about.reset(token)
