"""What is in hand while a work has its turn, for the log and for traces."""

from collections.abc import Awaitable, Callable

from pipeline.delivery.work import Work
from pipeline.kafka.names import Header
from pipeline.kafka.tracing import header
from pipeline.observability.context import About, about
from pipeline.observability.tracing import Tracing

Step = Callable[[Work], Awaitable[float | None]]


def named_in_logs(step: Step) -> Step:
    """`step`, with the notification's ids in whatever is logged meanwhile."""

    def named(work: Work) -> Awaitable[float | None]:
        dispatch = work.dispatch
        about.set(About(dispatch.notification_id, dispatch.event.event_id, dispatch.trace_id))
        return step(work)

    return named


def traced(step: Step, tracing: Tracing) -> Step:
    """`step` as a span of the record's trace: one for each time that the notification has its turn."""

    async def spanned(work: Work) -> float | None:
        dispatch = work.dispatch
        attributes: dict[str, str | int] = {
            "notification.id": dispatch.notification_id,
            "notification.event_id": dispatch.event.event_id,
            "notification.channel": dispatch.channel,
            "notification.priority": dispatch.priority,
            "messaging.system": "kafka",
            "messaging.kafka.offset": work.record.offset,
            "messaging.destination.partition.id": str(work.record.partition),
        }
        traceparent = header(work.record.headers, Header.TRACEPARENT)
        with tracing.consuming(f"deliver {dispatch.channel}", traceparent, attributes) as span:
            seconds = await step(work)
            if seconds is not None:
                span.set_attribute("notification.waits_seconds", seconds)
            return seconds

    return spanned
