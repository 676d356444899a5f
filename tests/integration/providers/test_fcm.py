"""FCM over real sockets, against the simulator."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import jsonschema_rs
import pytest

from pipeline.config import FcmSettings
from pipeline.providers.base import Outcome
from pipeline.providers.fcm import Fcm
from pipeline.providers.fcm_message import PushMessage, device_body, open_body, validation_body
from pipeline.providers.google_token import FAILURE_PAUSE
from pipeline.providers.push_message import PushRequest
from pipeline.testing.behaviour import Fault
from pipeline.testing.fcm import PROJECT, FcmSimulator, error_reply
from pipeline.testing.http_simulator import Reply
from pipeline.testing.providers import Providers
from pipeline.users.snapshot import Device

TIMEOUT = 0.3


DEVICE = Device("phone", "android", "device-token")


def body(notification_id: str = "n1", collapse_key: str | None = "k") -> bytes:
    message = PushMessage(notification_id, "order.shipped", "Tïtle", "<b>", True, collapse_key, 60, 1_800_000_000)
    return device_body(open_body(message), "device-token")


def push(notification_id: str = "n1") -> PushRequest:
    return PushRequest(DEVICE, body(notification_id))


def settings(simulated: Providers) -> FcmSettings:
    environment = simulated.environment()
    account = Path(environment["PIPELINE_PROVIDERS__FCM__SERVICE_ACCOUNT"])
    return FcmSettings(base_url=simulated.fcm.base_url, service_account=account)


@pytest.fixture
async def fcm(simulated: Providers) -> AsyncIterator[Fcm]:
    client = Fcm(settings(simulated), timeout=TIMEOUT)
    await client.start()
    yield client
    await client.close()


async def test_a_message_arrives_once_and_one_token_serves_many(fcm: Fcm, simulated: Providers) -> None:
    results = await asyncio.gather(*(fcm.send(push(f"n{number}")) for number in range(50)))
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert len({result.message_id for result in results}) == 50
    assert simulated.fcm.tokens_issued == 1
    assert set(simulated.received()["push"].values()) == {1}


@pytest.mark.parametrize("collapse_key", ["order-1", None])
def test_the_request_is_valid_by_the_published_contract(contracts: Path, collapse_key: str | None) -> None:
    schema = json.loads((contracts / "fcm_send.schema.json").read_text())
    jsonschema_rs.validator_for(schema).validate(json.loads(body(collapse_key=collapse_key)))


@pytest.mark.parametrize("expires", [True, False])
@pytest.mark.parametrize("high", [True, False])
def test_a_request_of_any_shape_is_valid_by_the_published_contract(contracts: Path, expires: bool, high: bool) -> None:
    schema = json.loads((contracts / "fcm_send.schema.json").read_text())
    at = (60, 1_800_000_000) if expires else (None, None)
    message = PushMessage("n1", "order.shipped", "T", "B", high, None, *at)
    jsonschema_rs.validator_for(schema).validate(json.loads(device_body(open_body(message), "token")))


async def test_a_dry_run_is_valid_by_the_contract_and_sends_nothing(
    fcm: Fcm, simulated: Providers, contracts: Path
) -> None:
    schema = json.loads((contracts / "fcm_send.schema.json").read_text())
    jsonschema_rs.validator_for(schema).validate(json.loads(validation_body("token")))
    assert (await fcm.validate("good")).outcome is Outcome.ACCEPTED
    simulated.fcm.unregister("gone")
    assert (await fcm.validate("gone")).outcome is Outcome.INVALID_RECIPIENT
    assert (simulated.fcm.validated, simulated.fcm.received.accepted) == (1, 0)


async def test_of_five_hundred_devices_each_fails_or_succeeds_for_itself(simulated: Providers) -> None:
    fcm = Fcm(settings(simulated), timeout=30)
    await fcm.start()
    devices = [Device(f"d{number}", "android", f"token-{number}") for number in range(500)]
    for number in range(0, 500, 100):
        simulated.fcm.unregister(f"token-{number}")
    message = PushMessage("n1", "order.shipped", "T", "B", True, None, None, None)
    results = await asyncio.gather(*map(fcm.send, fcm.prepare(message, devices)))
    dead = [request for request, result in enumerate(results) if result.outcome is Outcome.INVALID_RECIPIENT]
    assert dead == list(range(0, 500, 100))
    assert sum(result.outcome is Outcome.ACCEPTED for result in results) == 495
    assert (simulated.fcm.received.accepted, simulated.fcm.received.duplicates) == (495, 0)
    await fcm.close()


async def test_a_rotated_service_account_is_read_when_a_token_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "account.json"
    async with FcmSimulator() as old, FcmSimulator() as new:
        old.write_service_account(path)
        client = Fcm(FcmSettings(base_url=new.base_url, service_account=path), timeout=30)
        await client.start()
        assert (await client.send(push())).outcome is not Outcome.ACCEPTED, "the old account is of another project"
        new.write_service_account(path)
        await asyncio.sleep(FAILURE_PAUSE)
        assert (await client.send(push())).outcome is Outcome.ACCEPTED
        await client.close()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error_reply(404, "NOT_FOUND", "UNREGISTERED"), Outcome.INVALID_RECIPIENT),
        (error_reply(404, "NOT_FOUND"), Outcome.CONFIGURATION),
        (
            error_reply(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", field="message.token"),
            Outcome.INVALID_RECIPIENT,
        ),
        (error_reply(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"), Outcome.PERMANENT),
        (error_reply(403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"), Outcome.CONFIGURATION),
        (error_reply(401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"), Outcome.CONFIGURATION),
        (error_reply(500, "INTERNAL", "INTERNAL"), Outcome.TRANSIENT),
        (error_reply(503, "UNAVAILABLE", "UNAVAILABLE"), Outcome.TRANSIENT),
        (Reply(502, b"<!DOCTYPE html><title>Error 502</title>"), Outcome.TRANSIENT),
        (Reply(302, b"", {"Location": "http://127.0.0.1:1/"}), Outcome.CONFIGURATION),
        (Reply(200, b"<html>captive portal</html>"), Outcome.AMBIGUOUS),
    ],
)
async def test_each_answer_has_its_outcome(fcm: Fcm, simulated: Providers, reply: Reply, expected: Outcome) -> None:
    simulated.fcm.answer_next(reply)
    assert (await fcm.send(push())).outcome is expected
    assert (await fcm.send(push())).outcome is Outcome.ACCEPTED


async def test_the_answers_captured_from_the_real_service_are_understood(
    fcm: Fcm, simulated: Providers, contracts: Path
) -> None:
    sections = (contracts / "fcm_responses.md").read_text().split("\n## ")[1:]
    captured = {
        part.splitlines()[0]: part.partition("```")[2].partition("\n")[2].rpartition("```")[0] for part in sections
    }
    expected = {
        "Invalid registration token": (400, Outcome.INVALID_RECIPIENT),
        "Missing registration token": (400, Outcome.PERMANENT),
        "Payload too large": (400, Outcome.PERMANENT),
        "Unregistered token": (404, Outcome.INVALID_RECIPIENT),
        "Internal server error": (500, Outcome.TRANSIENT),
        "Bad gateway": (502, Outcome.TRANSIENT),
        "Unavailable": (503, Outcome.TRANSIENT),
    }
    assert set(expected) <= set(captured)
    for name, (status, outcome) in expected.items():
        simulated.fcm.answer_next(Reply(status, captured[name].encode()))
        assert (await fcm.send(push())).outcome is outcome, name


async def test_throttling_says_how_long(fcm: Fcm, simulated: Providers) -> None:
    simulated.fcm.answer_next(error_reply(429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", retry_after=17))
    result = await fcm.send(push())
    assert (result.outcome, result.retry_after) == (Outcome.THROTTLED, 17.0)


async def test_a_revoked_access_token_is_renewed_once_without_a_failure(fcm: Fcm, simulated: Providers) -> None:
    await fcm.send(push("before"))
    await asyncio.sleep(1.05)
    simulated.fcm.revoke_tokens()
    assert (await fcm.send(push("after"))).outcome is Outcome.ACCEPTED
    assert simulated.fcm.tokens_issued == 2


async def test_an_account_that_google_refuses_is_our_configuration(simulated: Providers, tmp_path: Path) -> None:
    async with FcmSimulator() as stranger:
        path = tmp_path / "stranger.json"
        stranger.write_service_account(path)
        account = json.loads(path.read_text()) | {"token_uri": f"{simulated.fcm.base_url}/token"}
        path.write_text(json.dumps(account))
        client = Fcm(FcmSettings(base_url=simulated.fcm.base_url, service_account=path), timeout=TIMEOUT)
        await client.start()
        assert (await client.send(push())).outcome is Outcome.CONFIGURATION
        await client.close()


@pytest.mark.parametrize(("fault", "accepted"), [(Fault.RESET_BEFORE, 0), (Fault.RESET_AFTER, 1), (Fault.NO_ANSWER, 1)])
async def test_a_lost_answer_is_in_doubt_whether_it_was_accepted_or_not(
    fcm: Fcm, simulated: Providers, fault: Fault, accepted: int
) -> None:
    await fcm.send(push("warm"))
    simulated.fcm.script.then(fault)
    assert (await fcm.send(push("lost"))).outcome is Outcome.AMBIGUOUS
    assert simulated.received()["push"]["lost"] == accepted


async def test_a_server_that_is_not_there_is_worth_another_try(simulated: Providers) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        client = Fcm(settings(simulated).model_copy(update={"base_url": url}), timeout=TIMEOUT)
        await client.start()
        assert (await client.send(push())).outcome is Outcome.TRANSIENT
        await client.close()


@pytest.mark.parametrize(
    "broken",
    [
        {"token": "t", "data": {"notification_id": "n", "count": 1}},
        {"token": "t", "data": {"notification_id": "n"}, "unknown": 1},
        {"token": "t", "data": {}},
        {"data": {"notification_id": "n"}},
        {"token": "t", "data": {"notification_id": "n", "from": "x"}},
        {"token": "t", "data": {"notification_id": "n", "x": "y" * 4096}},
        {"token": "t", "data": {"notification_id": "n"}, "android": {"ttl": "60"}},
    ],
)
async def test_the_simulator_refuses_what_fcm_would(fcm: Fcm, simulated: Providers, broken: dict[str, object]) -> None:
    assert (await fcm.send(PushRequest(DEVICE, json.dumps({"message": broken}).encode()))).outcome is Outcome.PERMANENT
    assert simulated.fcm.received.accepted == 0


async def test_the_simulator_refuses_a_stranger(simulated: Providers) -> None:
    url = f"{simulated.fcm.base_url}/v1/projects/{PROJECT}/messages:send"
    async with aiohttp.ClientSession() as session, session.post(url, data=body()) as response:
        assert response.status == 401
