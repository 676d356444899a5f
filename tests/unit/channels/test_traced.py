"""A turn of a notification and each call to its provider are spans, without a word of address or content."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pipeline.channels.base import Part
from pipeline.channels.traced import TracedSender
from pipeline.delivery.in_hand import named_in_logs, traced
from pipeline.delivery.ledger import Found, State, entry_keys
from pipeline.delivery.work import Partition, Work
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel
from pipeline.kafka.inbound import Inbound
from pipeline.observability.context import about
from pipeline.observability.tracing import Tracing
from pipeline.providers.base import Outcome, SendResult
from pipeline.users.snapshot import UserSnapshot
from tests.unit.channels.conftest import MakeDispatch

CAME = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Refusing:
    """A provider that is busy, and says so in words of its own."""

    channel = Channel.PUSH
    repeat_is_harmless = False

    def prepare(self, dispatch: Dispatch, user: UserSnapshot) -> Sequence[Part]:
        return []

    async def send(self, dispatch: Dispatch, part: Part) -> SendResult:
        return SendResult(outcome=Outcome.TRANSIENT, provider="fcm", error="UNAVAILABLE")

    async def prune(self, dispatch: Dispatch, part: Part, result: SendResult) -> None: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


async def test_a_turn_is_a_span_of_the_records_trace_and_the_call_is_below_it(make_dispatch: MakeDispatch) -> None:
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracing = Tracing(provider)
    sender = TracedSender(Refusing(), tracing, "fcm-eu")
    dispatch = make_dispatch(Channel.PUSH, data='{"text": "for Ada only"}')
    record = Inbound(3, 42, b"user_1", b"", [("traceparent", CAME)], 0)
    keys = entry_keys("user_1", dispatch.notification_id, "key")
    found = Found(State.LEASED, cancelled=False, body=b"", busy_for=0.0)
    work = Work(record, Partition(3), dispatch, keys, None, found, 0.0)
    logged: list[str] = []

    async def step(work: Work) -> float | None:
        now = about.get()
        logged.append(now.notification_id if now else "")
        await sender.send(work.dispatch, Part(key="phone", payload=None))
        return 1.5

    assert await named_in_logs(traced(step, tracing))(work) == 1.5
    call, turn = kept.get_finished_spans()
    assert (turn.name, call.name) == ("deliver push", "send fcm-eu")
    assert call.parent
    assert turn.parent
    assert turn.context
    assert (call.parent.span_id, turn.parent.span_id) == (turn.context.span_id, int(CAME[36:52], 16))
    attributes = dict(turn.attributes or {})
    assert attributes["notification.id"] == dispatch.notification_id
    assert (attributes["messaging.kafka.offset"], attributes["notification.waits_seconds"]) == (42, 1.5)
    assert (call.status.description, dict(call.attributes or {})["notification.outcome"]) == (
        "UNAVAILABLE",
        "transient",
    )
    assert logged == [dispatch.notification_id]
    assert not any("Ada" in span.to_json() or "user_1" in span.to_json() for span in (call, turn))
