"""What callers see while a server is away."""

import asyncio
import time

import pytest

from pipeline.config import GatewaySettings, JwtSettings
from pipeline.embedded.broker import Broker
from pipeline.embedded.postgres import Postgres
from pipeline.embedded.valkey import Valkey
from tests.integration.gateway.conftest import SECRET, Desk, as_user, event, ingested

pytestmark = pytest.mark.broker


@pytest.fixture
def gateway_settings() -> GatewaySettings:
    jwt = JwtSettings.model_validate({"hs256_secret": SECRET})
    return GatewaySettings(port=0, ack_timeout=1, max_in_flight=50, key_cache=0.2, jwt=jwt)


async def test_while_kafka_is_away_events_are_refused_quickly_and_afterwards_taken_once(
    desk: Desk, broker: Broker
) -> None:
    if broker.server is None:
        pytest.skip("the broker was named from outside, and is not ours to stop")
    assert (await desk.post_event(event(idempotency_key="before"))).status == 202
    await asyncio.to_thread(broker.server.stop)
    try:
        began = time.monotonic()
        first = await desk.post_event(event(event_id="e1"))
        assert (first.status, time.monotonic() - began < 5) == (503, True)
        assert int(first.headers["Retry-After"]) >= 1
        began = time.monotonic()
        answers = await asyncio.gather(*(desk.post_event(event(idempotency_key=str(n))) for n in range(200)))
        assert {answer.status for answer in answers} == {503}
        assert time.monotonic() - began < 5
        assert not desk.runtime.health.report()["parts"]["kafka"]["ok"]
        assert (await desk.call("GET", "/readyz", headers={})).status == 503
        assert (await desk.call("GET", "/v1/users/alice/devices")).status == 200, "what needs no Kafka goes on"
    finally:
        await asyncio.to_thread(broker.server.start)
    for _ in range(300):
        answer = await desk.post_event(event(event_id="e1"))
        if answer.status == 202:
            break
        await asyncio.sleep(0.2)
    assert (answer.status, answer.json["event_id"]) == (202, "e1")
    accepted = [r for r in await ingested(desk.runtime.settings.kafka) if r.event.event_id == "e1"]
    assert accepted, "an accepted event is on the topic"


async def test_while_redis_is_away_events_wait_at_the_door_and_people_are_served(desk: Desk, valkey: Valkey) -> None:
    if valkey.server is None:
        pytest.skip("the server was named from outside, and is not ours to stop")
    assert (await desk.post_event(event())).status == 202
    await desk.as_service("admin")
    await asyncio.to_thread(valkey.server.stop)
    try:
        answer = await desk.post_event(event(idempotency_key="other"))
        assert (answer.status, "Retry-After" in answer.headers) == (503, True)
        assert (await desk.call("GET", "/v1/users/alice/inbox/unread", headers=as_user("alice"))).status == 200
        put = await desk.call("PUT", "/v1/users/alice", headers=as_user("alice"), json={"locale": "en"})
        assert put.status == 200
    finally:
        await asyncio.to_thread(valkey.server.start)
    assert (await desk.post_event(event(idempotency_key="other"))).status == 202


async def test_while_postgresql_is_away_known_keys_go_on_sending(desk: Desk, postgres: Postgres) -> None:
    if postgres.server is None:
        pytest.skip("the server was named from outside, and is not ours to stop")
    assert (await desk.post_event(event())).status == 202
    unknown = {"Authorization": "Bearer ntf_" + "0" * 12 + "_" + "0" * 64}
    await asyncio.to_thread(postgres.server.stop)
    try:
        await asyncio.sleep(0.3)
        assert (await desk.post_event(event(idempotency_key="other"))).status == 202
        assert (await desk.call("POST", "/v1/events", headers=unknown, json=event())).status == 503
        assert (await desk.call("GET", "/v1/users/alice", headers=as_user("alice"))).status == 503
    finally:
        await asyncio.to_thread(postgres.server.start)


async def test_what_is_too_much_at_once_is_refused_and_the_rest_accepted(desk: Desk) -> None:
    await desk.as_service("ingest")
    answers = await asyncio.gather(*(desk.post_event(event(idempotency_key=str(n))) for n in range(99)))
    statuses = [answer.status for answer in answers]
    assert set(statuses) <= {202, 503}
    assert statuses.count(202) >= 50
    assert len(await ingested(desk.runtime.settings.kafka)) == statuses.count(202)
