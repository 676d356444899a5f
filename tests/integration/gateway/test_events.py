"""Accepting events: what is taken, what is refused and why, and that nothing is taken twice."""

import asyncio
import json
import uuid

import pytest

from pipeline.events.vocabulary import Channel, Kind, Priority
from tests.integration.gateway.conftest import Desk, event, ingested

pytestmark = pytest.mark.broker

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_an_accepted_event_is_on_the_ingest_topic_as_it_was_given(desk: Desk) -> None:
    body = event(
        event_id="e1",
        channels=["push", "email"],
        priority="critical",
        created_at="2026-02-23T10:00:00+01:00",
        send_at="2030-01-01T00:00:00Z",
        collapse_key="order-1",
    )
    answer = await desk.post_event(body, traceparent=TRACE)
    assert (answer.status, answer.json) == (202, {"event_id": "e1", "idempotency_key": "order-1-shipped"})
    (record,) = await ingested(desk.runtime.settings.kafka)
    assert record.key == b"alice"
    assert record.event.channels == [Channel.PUSH, Channel.EMAIL]
    assert record.event.priority == Priority.CRITICAL
    assert record.event.created_at == 1_771_837_200_000
    assert record.event.send_at == 1_893_456_000_000
    assert json.loads(record.event.data) == {"order_id": "1"}
    assert dict(record.headers)["traceparent"] == TRACE.encode()


async def test_what_is_left_out_is_filled_in(desk: Desk) -> None:
    body = event()
    del body["idempotency_key"]
    answer = await desk.post_event(body)
    assert answer.status == 202
    uuid.UUID(answer.json["event_id"])
    assert answer.json["idempotency_key"] == answer.json["event_id"]
    (record,) = await ingested(desk.runtime.settings.kafka)
    assert record.event.source == "shop"
    assert record.event.created_at > 1_700_000_000_000
    assert record.headers == []


WRONG: list[tuple[dict[str, object], str]] = [
    ({"priority": "urgent"}, "#/priority"),
    ({"recipient_id": 7}, "#/recipient_id"),
    ({"recipient_id": ""}, "#/recipient_id"),
    ({"channels": ["fax"]}, "#/channels/0"),
    ({"created_at": "yesterday"}, "#/created_at"),
    ({"no/such": 1}, "#/no~1such"),
    ({"event_type": "nobody.knows"}, "#/event_type"),
    ({"data": {}}, "#/data/order_id"),
    ({"data": {"order_id": ""}}, "#/data/order_id"),
    ({"data": "text"}, "#/data"),
]


async def test_a_wrong_value_is_pointed_at_and_nothing_is_accepted(desk: Desk) -> None:
    for change, pointer in WRONG:
        answer = await desk.post_event(event(**change))
        assert answer.status == 400, change
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert pointer in [error["pointer"] for error in answer.json["errors"]], change
    missing = await desk.post_event({"event_type": "order.shipped"})
    assert [e["pointer"] for e in missing.json["errors"]] == ["#/recipient_id", "#/data"]
    headers = {**await desk.as_service("ingest"), "Content-Type": "application/json"}
    for body in (b"{", b"", b"\xff", b'"text"', b"7", b"[]", b"null", b"[" * 100_000, b'{"event_type":"\\ud800"}'):
        assert (await desk.call("POST", "/v1/events", headers=headers, data=body)).status == 400, body[:20]
    assert await ingested(desk.runtime.settings.kafka) == []


async def test_another_content_type_is_a_415_and_a_long_body_a_413(desk: Desk) -> None:
    headers = await desk.as_service("ingest")
    xml = {**headers, "Content-Type": "text/xml"}
    assert (await desk.call("POST", "/v1/events", headers=xml, data=b"<a/>")).status == 415
    long = json.dumps(event(data={"order_id": "x" * 5_000_000})).encode()
    as_json = {**headers, "Content-Type": "application/json"}
    assert (await desk.call("POST", "/v1/events", headers=as_json, data=long)).status == 413
    assert (await desk.post_event([event()] * 501)).status == 413


async def test_the_same_request_again_has_the_same_answer_and_one_record(desk: Desk) -> None:
    first = await desk.post_event(event())
    again = await desk.post_event({**event(), "channels": []})
    assert (again.status, again.json) == (202, first.json)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(await ingested(desk.runtime.settings.kafka)) == 1


async def test_another_body_under_the_same_key_is_a_409_but_not_for_another_person(desk: Desk) -> None:
    await desk.post_event(event())
    other = await desk.post_event(event(data={"order_id": "2"}))
    assert (other.status, other.json["errors"][0]["pointer"]) == (409, "#/idempotency_key")
    assert (await desk.post_event(event(data={"order_id": "2"}, recipient_id="bob"))).status == 202
    assert len(await ingested(desk.runtime.settings.kafka)) == 2


async def test_many_at_once_with_one_key_are_one_record_and_one_answer(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.post_event(event()) for _ in range(60)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.json["event_id"] for answer in answers}) == 1
    assert len(await ingested(desk.runtime.settings.kafka)) == 1


async def test_the_header_gives_the_key_and_must_not_contradict_the_body(desk: Desk) -> None:
    body = event()
    del body["idempotency_key"]
    answer = await desk.post_event(body, **{"Idempotency-Key": '"k1"'})
    assert answer.json["idempotency_key"] == "k1"
    wrong = await desk.post_event(event(), **{"Idempotency-Key": "k2"})
    assert wrong.status == 400


async def test_a_list_is_answered_item_by_item(desk: Desk) -> None:
    await desk.post_event(event(idempotency_key="before"))
    answer = await desk.post_event(
        [
            event(idempotency_key="a"),
            event(idempotency_key="b", priority="urgent"),
            event(idempotency_key="a"),
            event(idempotency_key="a", data={"order_id": "2"}),
            event(idempotency_key="before", data={"order_id": "2"}),
            event(idempotency_key="before"),
        ]
    )
    assert answer.status == 202
    assert [item["status"] for item in answer.json["items"]] == [202, 400, 202, 409, 409, 202]
    assert [item["replayed"] for item in answer.json["items"]] == [False, False, True, False, False, True]
    assert (answer.json["accepted"], answer.json["rejected"]) == (3, 3)
    assert answer.json["items"][1]["problem"]["errors"][0]["pointer"] == "#/priority"
    assert len(await ingested(desk.runtime.settings.kafka)) == 2


async def test_a_list_of_which_nothing_is_accepted_is_refused_as_a_whole(desk: Desk) -> None:
    answer = await desk.post_event([event(), {"event_type": "order.shipped"}])
    assert answer.status == 202
    answer = await desk.post_event([{"event_type": "order.shipped", "data": {}}])
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (400, "#/0/recipient_id")


async def test_cloud_events_are_taken_structured_and_in_a_batch(desk: Desk) -> None:
    one = {
        "specversion": "1.0",
        "id": "42",
        "source": "/shop",
        "type": "order.shipped",
        "subject": "alice",
        "time": "2026-02-23T10:00:00Z",
        "datacontenttype": "application/json",
        "data": {"order_id": "1"},
        "channels": "push, email",
        "traceparent": TRACE,
        "unknownextension": "ignored",
    }
    headers = {**await desk.as_service("ingest"), "Content-Type": "application/cloudevents+json"}
    answer = await desk.call("POST", "/v1/events", headers=headers, data=json.dumps(one).encode())
    assert (answer.status, answer.json) == (202, {"event_id": "42", "idempotency_key": "/shop#42"})
    batch = [{**one, "id": "43"}, {**one, "id": "44", "subject": None}]
    headers["Content-Type"] = "application/cloudevents-batch+json"
    answer = await desk.call("POST", "/v1/events", headers=headers, data=json.dumps(batch).encode())
    assert [item["status"] for item in answer.json["items"]] == [202, 400]
    assert answer.json["items"][1]["problem"]["errors"][0]["pointer"] == "#/subject"
    first, _second = await ingested(desk.runtime.settings.kafka)
    assert (first.event.source, first.event.channels) == ("/shop", ["push", "email"])
    assert dict(first.headers)["traceparent"] == TRACE.encode()


async def test_a_cancel_takes_back_the_key_of_the_event(desk: Desk) -> None:
    accepted = (await desk.post_event(event())).json
    answer = await desk.call("DELETE", f"/v1/events/{accepted['event_id']}", scope="ingest")
    assert (answer.status, answer.json["idempotency_key"]) == (202, "order-1-shipped")
    request, cancel = await ingested(desk.runtime.settings.kafka)
    assert (request.event.kind, cancel.event.kind) == (Kind.REQUEST, Kind.CANCEL)
    assert cancel.event.idempotency_key == "order-1-shipped"
    assert cancel.key == b"alice"


async def test_an_unknown_event_can_be_cancelled_by_its_key_and_recipient(desk: Desk) -> None:
    assert (await desk.call("DELETE", "/v1/events/unknown", scope="ingest")).status == 404
    named = "/v1/events/unknown?recipient_id=alice&idempotency_key=k"
    assert (await desk.call("DELETE", named, scope="ingest")).status == 202
    (cancel,) = await ingested(desk.runtime.settings.kafka)
    assert (cancel.event.kind, cancel.event.idempotency_key) == (Kind.CANCEL, "k")


async def test_an_event_that_is_not_routed_yet_says_so_and_an_unknown_one_is_a_404(desk: Desk) -> None:
    accepted = (await desk.post_event(event())).json
    answer = await desk.call("GET", f"/v1/events/{accepted['event_id']}", scope="read")
    assert answer.status == 200
    assert (answer.json["recipient_id"], answer.json["channels"]) == ("alice", [])
    assert [entry["what"] for entry in answer.json["timeline"]] == ["accepted"]
    assert answer.json["explanation"] == ["It was accepted and is not decided yet."]
    assert (await desk.call("GET", "/v1/events/unknown", scope="read")).status == 404
