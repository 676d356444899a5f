"""`pipeline.client` against a real gateway and a real broker; answers are lost on the way by a relay."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from pipeline.client import AsyncClient, Client, Event, EventRefused, NotAccepted, Receipt
from pipeline.embedded.servers import free_port
from pipeline.events.vocabulary import Channel, Kind, Priority
from tests.integration.gateway.conftest import Desk, ingested

pytestmark = pytest.mark.broker


def shipped(key: str, **changes: object) -> Event:
    return Event("order.shipped", "alice", {"order_id": key}, idempotency_key=key, **changes)  # type: ignore[arg-type]


@dataclass
class Relay:
    """Passes requests on to the gateway. `plan` says for each what to do first: ``lose`` the answer, or a status."""

    gateway: str
    url: str = ""
    plan: list[str] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)

    async def relay(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(body)
        do = self.plan.pop(0) if self.plan else ""
        if do.isdigit():
            return web.Response(status=int(do), headers={"Retry-After": "0"})
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type")}
        async with aiohttp.ClientSession() as session:
            url = self.gateway + request.path_qs
            async with session.request(request.method, url, data=body, headers=headers) as answer:
                content = await answer.read()
                if do == "lose":
                    assert request.transport
                    request.transport.abort()
                passed = {n: v for n, v in answer.headers.items() if n in ("Content-Type", "Idempotent-Replayed")}
                return web.Response(body=content, status=answer.status, headers=passed)


@asynccontextmanager
async def relayed(desk: Desk) -> AsyncIterator[Relay]:
    relay = Relay(desk.url)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", relay.relay)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    relay.url = f"http://127.0.0.1:{port}"
    try:
        yield relay
    finally:
        await runner.cleanup()


async def test_over_http_every_field_arrives_and_mistakes_say_what_to_change(desk: Desk) -> None:
    key = await desk.key("ingest")
    event = shipped(
        "k1",
        channels=["push", Channel.EMAIL],
        priority="high",
        send_at=datetime(2030, 1, 1, tzinfo=UTC),
        collapse_key="order-1",
        created_at=datetime(2026, 2, 23, 10, tzinfo=UTC),
    )
    async with AsyncClient.over_http(desk.url, key) as client:
        assert await client.send(event) == Receipt(event.event_id, "k1")
        assert await client.send(event) == Receipt(event.event_id, "k1", replayed=True)
        await client.cancel(event)
        with pytest.raises(EventRefused, match="/data/order_id: is missing") as refused:
            await client.send(Event("order.shipped", "alice", {}))
        assert (refused.value.status, refused.value.problems) == (400, [("/data/order_id", "is missing")])
        with pytest.raises(EventRefused, match="409"):
            await client.send(Event("order.shipped", "alice", {"order_id": "other"}, idempotency_key="k1"))
        with pytest.raises(EventRefused, match=r"/send_at: use datetime.now\(UTC\)"):
            await client.send(shipped("k2", send_at=datetime(2030, 1, 1)))  # noqa: DTZ001 - that is the mistake
        with pytest.raises(EventRefused, match="/data: Object of type object is not JSON"):
            await client.send(Event("order.shipped", "alice", {"order_id": object()}))
    async with AsyncClient.over_http(desk.url, "ntf_wrong") as client:
        with pytest.raises(EventRefused, match="status 401"):
            await client.send(event)
    sent, taken_back = await ingested(desk.runtime.settings.kafka)
    assert taken_back.event.kind is Kind.CANCEL
    assert sent.event.channels == [Channel.PUSH, Channel.EMAIL]
    assert (sent.event.priority, sent.event.collapse_key) == (Priority.HIGH, "order-1")
    assert (sent.event.created_at, sent.event.send_at) == (1_771_840_800_000, 1_893_456_000_000)
    assert (json.loads(sent.event.data), sent.event.source) == ({"order_id": "k1"}, "shop")


async def test_a_lost_answer_and_a_busy_gateway_are_tried_again_with_the_same_key(desk: Desk) -> None:
    key = await desk.key("ingest")
    async with relayed(desk) as relay, AsyncClient.over_http(relay.url, key) as client:
        relay.plan = ["503", "lose", "lose", "429"]
        assert (await client.send(shipped("k1"))).idempotency_key == "k1"
        assert len(relay.seen) == 5
        assert len(set(relay.seen)) == 1
        relay.plan = ["lose"]
        wrong = Event("order.shipped", "alice", {}, idempotency_key="k3")
        first, second, third = await client.send_all([shipped("k2"), wrong, shipped("k4")])
        assert isinstance(first, Receipt)
        assert first.replayed
        assert isinstance(second, EventRefused)
        assert second.problems == [("/data/order_id", "is missing")]
        assert isinstance(third, Receipt)
        both = await client.send_all([wrong, Event("no.such", "alice")])
        assert [type(outcome) for outcome in both] == [EventRefused, EventRefused]
    keys = [record.event.idempotency_key for record in await ingested(desk.runtime.settings.kafka)]
    assert sorted(keys) == ["k1", "k2", "k4"]


async def test_patience_that_is_over_says_so_and_that_the_same_event_may_be_sent_again(desk: Desk) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    async with AsyncClient.over_http(nobody, "ntf_any", patience=0.3) as client:
        with pytest.raises(NotAccepted, match="send the same event again"):
            await client.send(shipped("k1"))
        outcomes = await client.send_all([shipped("k1"), shipped("k2")])
        assert [type(outcome) for outcome in outcomes] == [NotAccepted, NotAccepted]
    with pytest.raises(NotAccepted):
        async with AsyncClient.over_kafka(nobody.removeprefix("http://"), patience=1):
            pass


async def test_straight_to_kafka_the_same_event_is_the_same_record(desk: Desk) -> None:
    kafka = desk.runtime.settings.kafka
    event = shipped("k1", priority="low")
    async with AsyncClient.over_kafka(kafka.bootstrap_servers, source="shop") as client:
        assert await client.send(event) == Receipt(event.event_id, "k1")
        outcomes = await client.send_all([shipped("k2"), shipped("k3", priority="urgent")])
        assert isinstance(outcomes[1], EventRefused)
        assert outcomes[1].problems == [("/priority", "is none of critical, high, normal, low, null")]
        await client.cancel(event)
    records = await ingested(kafka)
    assert sorted((r.event.idempotency_key, r.event.kind) for r in records) == [
        ("k1", Kind.CANCEL), ("k1", Kind.REQUEST), ("k2", Kind.REQUEST),
    ]  # fmt: skip
    assert {(r.key, r.event.source) for r in records} == {(b"alice", "shop")}


async def test_without_asyncio_it_does_the_same_from_any_thread(desk: Desk) -> None:
    key = await desk.key("ingest")

    def work() -> list[object]:
        with Client.over_http(desk.url, key) as client:
            one = client.send(shipped("k1"))
            with pytest.raises(EventRefused):
                client.send(Event("order.shipped", "alice", {}))
            client.cancel(shipped("k1", event_id=one.event_id))
            return [one, *client.send_all([shipped("k2"), shipped("k3")])]

    outcomes = await asyncio.to_thread(work)
    assert [type(outcome) for outcome in outcomes] == [Receipt] * 3
    assert len(await ingested(desk.runtime.settings.kafka)) == 4
