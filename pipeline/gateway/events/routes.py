"""The routes of events: accept, tell, cancel."""

from typing import Any

import msgspec

from pipeline.events.canonical import InvalidEvent, Problem
from pipeline.events.json_schema import JsonSchema
from pipeline.events.records import Decision, DeliveryStatus
from pipeline.events.vocabulary import Kind
from pipeline.gateway.access import EXPLAIN, INGEST, Service
from pipeline.gateway.binding import decode
from pipeline.gateway.events import cloudevents
from pipeline.gateway.events.accept import Accepted, Acceptor
from pipeline.gateway.events.answers import AcceptedBatch, AcceptedEvent, BatchItem, batch_answer, batch_item
from pipeline.gateway.events.claims import Address, Claims
from pipeline.gateway.events.intake import Intake, Submission
from pipeline.gateway.events.stories import EventView, Stories, TimelineEntry, explanation, instant, outcomes, timeline
from pipeline.gateway.problems import Refused, bad_request
from pipeline.gateway.routes import Call, Name, Route, Routes
from pipeline.gateway.traced import traceparent_of

JSON = "application/json"
_json = msgspec.json.Decoder(Any)


class CancelAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The cancellation is on its way; what was delivered before it arrives stays delivered."""

    event_id: str
    idempotency_key: str
    recipient_id: str


class WhichEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Names an event that was not accepted here lately: both, or neither."""

    recipient_id: Name | None = None
    idempotency_key: Name | None = None


class WhoseEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The event's recipient, where it is known: then less has to be read."""

    recipient_id: Name | None = None


class EventRoutes:
    """Handlers over the parts. `max_batch`: events in one request."""

    def __init__(self, intake: Intake, acceptor: Acceptor, claims: Claims, stories: Stories, max_batch: int) -> None:
        self._intake = intake
        self._acceptor = acceptor
        self._claims = claims
        self._stories = stories
        self._max_batch = max_batch

    def table(self) -> Routes:
        one = "/v1/events/{event_id}"
        return [
            Route(
                method="POST",
                path="/v1/events",
                handler=self.accept_events,
                access=INGEST,
                summary="Accept one event, a list of events, or CloudEvents",
                tag="events",
                status=202,
                problems=(409,),
                request=self._bodies(),
            ),
            Route(
                method="GET",
                path=one,
                handler=self.get_event,
                access=EXPLAIN,
                summary="What became of an event, channel by channel, and why",
                tag="events",
                problems=(404,),
            ),
            Route(
                method="DELETE",
                path=one,
                handler=self.cancel_event,
                access=INGEST,
                summary="Take an event back",
                tag="events",
                status=202,
                problems=(404,),
            ),
        ]

    async def accept_events(self, body: bytes, call: Call) -> AcceptedEvent | AcceptedBatch:
        """Answers once Kafka has acknowledged. A list is answered item by item, unless none of it was accepted."""
        document = decode(_json, body)
        if isinstance(document, list):
            return await self._accept_list(document, call)
        try:
            submission = self._read(document, call, _header_key(call))
        except InvalidEvent as error:
            raise bad_request(error.problems) from None
        (outcome,) = await self._acceptor.accept([submission], _service(call))
        if not isinstance(outcome, Accepted):
            raise outcome
        if outcome.replayed:
            call.headers["Idempotent-Replayed"] = "true"
        return AcceptedEvent(event_id=outcome.event_id, idempotency_key=submission.event.idempotency_key)

    async def get_event(self, event_id: Name, query: WhoseEvent) -> EventView:
        """Timeline, outcome for each channel, explanation."""
        address = await self._claims.find(event_id)
        recipient_id = query.recipient_id or (address.recipient_id if address else None)
        story = await self._stories.find(event_id, recipient_id)
        told: list[Decision | DeliveryStatus] = [*story.decisions, *story.statuses]
        about = told[0] if told else address
        if about is None:
            raise Refused(404, "No event with this id was accepted lately, or decided in the time that topics keep.")
        first = [TimelineEntry(at=instant(address.created_at), what="accepted")] if address else []
        return EventView(
            event_id=event_id,
            event_type=about.event_type,
            recipient_id=about.recipient_id,
            idempotency_key=about.idempotency_key,
            source=about.source,
            timeline=first + timeline(story),
            channels=outcomes(story),
            explanation=explanation(story),
        )

    async def cancel_event(self, event_id: Name, query: WhichEvent, call: Call) -> CancelAccepted:
        """Cancels what is not delivered yet. Events are known by id for a day; older ones by key and recipient."""
        address = await self._claims.find(event_id)
        if address is None and query.recipient_id and query.idempotency_key:
            address = Address(query.recipient_id, query.idempotency_key, "cancel", _service(call).name, 0)
        if address is None:
            raise Refused(404, "No event with this id was accepted lately; name its recipient_id and idempotency_key.")
        key, recipient_id = address.idempotency_key, address.recipient_id
        await self._acceptor.cancel(self._cancellation(event_id, address, call))
        return CancelAccepted(event_id=event_id, idempotency_key=key, recipient_id=recipient_id)

    def _cancellation(self, event_id: str, address: Address, call: Call) -> Submission:
        document = {
            "event_id": event_id,
            "event_type": address.event_type,
            "recipient_id": address.recipient_id,
            "idempotency_key": address.idempotency_key,
            "source": address.source,
            "data": {},
            "kind": Kind.CANCEL.value,
        }
        return self._read(document, call, None)

    async def _accept_list(self, documents: list[object], call: Call) -> AcceptedBatch:
        if not documents:
            raise bad_request([Problem("", "is an empty list: give at least one event")])
        if len(documents) > self._max_batch:
            raise Refused(413, f"The list has {len(documents)} events, at most {self._max_batch} are accepted.")
        if _header_key(call) is not None:
            raise Refused(400, "Idempotency-Key is for a single event: give each event of a list its idempotency_key.")
        read: dict[int, Submission] = {}
        results: dict[int, Accepted | Refused] = {}
        for index, document in enumerate(documents):
            try:
                read[index] = self._read(document, call, None)
            except InvalidEvent as error:
                results[index] = bad_request(error.problems)
        if read:
            results |= dict(zip(read, await self._acceptor.accept(list(read.values()), _service(call)), strict=True))
        return batch_answer([_item(i, read.get(i), results[i]) for i in range(len(documents))], results)

    def _read(self, document: object, call: Call, key: str | None) -> Submission:
        if call.content_type.startswith("application/cloudevents") and not (
            isinstance(document, dict) and cloudevents.is_cloud_event(document)
        ):
            raise InvalidEvent([Problem("/specversion", "is missing")])
        traceparent = traceparent_of(call.request)
        return self._intake.read(document, source=_service(call).name, key=key, traceparent=traceparent)

    def _bodies(self) -> dict[str, JsonSchema]:
        event = self._intake.schema()
        many = {"type": "array", "items": event, "minItems": 1, "maxItems": self._max_batch}
        cloud = _CLOUD_EVENT
        return {
            JSON: {"anyOf": [event, many]},
            cloudevents.STRUCTURED: cloud,
            cloudevents.BATCH: {"type": "array", "items": cloud, "minItems": 1, "maxItems": self._max_batch},
        }


_CLOUD_EVENT: JsonSchema = {
    "title": "CloudEvent",
    "description": "CloudEvents 1.0; subject, or the extension recipientid, names the recipient.",
    "type": "object",
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1, "format": "uri-reference"},
        "type": {"type": "string", "minLength": 1},
        "subject": {"type": "string", "minLength": 1},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"type": "string"},
        "data": {"type": "object"},
        "recipientid": {"type": "string", "minLength": 1},
        "idempotencykey": {"type": "string", "minLength": 1},
        "channels": {"type": "string", "description": "Comma-separated."},
        "priority": {"enum": ["critical", "high", "normal", "low"]},
        "sendat": {"type": "string", "format": "date-time"},
        "expiresat": {"type": "string", "format": "date-time"},
        "collapsekey": {"type": "string"},
        "locale": {"type": "string"},
        "template": {"type": "string"},
        "traceparent": {"type": "string"},
    },
    "required": ["specversion", "id", "source", "type"],
}


def _item(index: int, submission: Submission | None, outcome: Accepted | Refused) -> BatchItem:
    return batch_item(index, submission.event.idempotency_key if submission else None, outcome)


def _service(call: Call) -> Service:
    assert isinstance(call.caller, Service), "the route's access lets services in, and nobody else"
    return call.caller


def _header_key(call: Call) -> str | None:
    """The ``Idempotency-Key`` header; quotes, as its draft has them, are no part of the key."""
    value = call.request.headers.get("Idempotency-Key")
    return None if value is None else value.strip().removeprefix('"').removesuffix('"')
