"""APNs over HTTP/2 and TLS, against the simulator."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from h2.errors import ErrorCodes

from pipeline.config import ApnsSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.apns import MAX_PAYLOAD, Apns, payload
from pipeline.providers.apns_table import REASONS
from pipeline.providers.apns_token import NEW_FOR
from pipeline.providers.base import Outcome
from pipeline.providers.push_message import MAX_TTL, PushMessage, PushRequest, TooLarge
from pipeline.testing.apns import KEY_ID, TEAM_ID, TOPIC, ApnsSimulator, error_reply
from pipeline.testing.apns_checks import STATUS
from pipeline.testing.behaviour import Behaviour, Fault
from pipeline.testing.http_simulator import Reply
from pipeline.users.snapshot import Device

TIMEOUT = 15.0
SOON = 0.5
TOKEN = "ab" * 32
PHONE = Device("phone", "ios", TOKEN)


class Clock:
    """The real time, and what is added to it."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def simulator() -> AsyncIterator[ApnsSimulator]:
    async with ApnsSimulator() as simulator:
        yield simulator


@pytest.fixture
async def sandbox() -> AsyncIterator[ApnsSimulator]:
    async with ApnsSimulator() as simulator:
        yield simulator


def settings(simulator: ApnsSimulator, folder: Path, **others: object) -> ApnsSettings:
    key = folder / f"AuthKey_{KEY_ID}.p8"
    if not key.exists():
        simulator.tokens.write_key(key)
    given = {
        "base_url": simulator.base_url,
        "sandbox_base_url": simulator.base_url,
        "ca_certificates": simulator.certificate,
        "signing_key": key,
        "team_id": TEAM_ID,
        "topic": TOPIC,
    }
    return ApnsSettings.model_validate(given | others)


@pytest.fixture
async def apns(simulator: ApnsSimulator, tmp_path: Path, clock: Clock) -> AsyncIterator[Apns]:
    client = Apns(settings(simulator, tmp_path), timeout=TIMEOUT, clock=clock)
    yield client
    await client.close()


def message(number: int = 1, *, collapse_key: str | None = None, expires_at: int | None = None) -> PushMessage:
    notification_id = str(uuid.uuid5(uuid.NAMESPACE_OID, str(number)))
    return PushMessage(notification_id, "order.shipped", "Tïtle", "<b>", True, collapse_key, None, expires_at)


def push(client: Apns, number: int = 1, device: Device = PHONE) -> PushRequest:
    return client.prepare(message(number), [device])[0]


async def test_messages_arrive_once_over_one_connection_with_one_token(apns: Apns, simulator: ApnsSimulator) -> None:
    results = await asyncio.gather(*(apns.send(push(apns, number)) for number in range(200)))
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert len({result.message_id for result in results}) == 200
    assert set(simulator.received.by_notification().values()) == {1}
    assert (len(simulator.server.connections), simulator.tokens.seen) == (1, 1)


async def test_a_request_says_all_that_apns_wants_to_know(apns: Apns, simulator: ApnsSimulator) -> None:
    expires_at = int(time.time()) + 90
    (request,) = apns.prepare(message(collapse_key="order-1", expires_at=expires_at), [PHONE])
    result = await apns.send(request)
    sent = simulator.requests[-1]
    assert sent.headers[":path"] == f"/3/device/{TOKEN}"
    assert {name: value for name, value in sent.headers.items() if name.startswith("apns-")} == {
        "apns-id": result.message_id,
        "apns-topic": TOPIC,
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-expiration": str(expires_at),
        "apns-collapse-id": "order-1",
    }
    assert json.loads(sent.body) == {
        "aps": {"alert": {"title": "Tïtle", "body": "<b>"}, "sound": "default"},
        "notification_id": message().notification_id,
        "event_type": "order.shipped",
    }


async def test_what_is_not_urgent_waits_for_the_device_and_is_kept_while_it_is_off(
    apns: Apns, simulator: ApnsSimulator
) -> None:
    (request,) = apns.prepare(message()._replace(high_priority=False), [PHONE])
    await apns.send(request)
    sent = simulator.requests[-1]
    assert sent.headers["apns-priority"] == "5"
    assert abs(int(sent.headers["apns-expiration"]) - time.time() - MAX_TTL) < 5
    assert "sound" not in json.loads(sent.body)["aps"]
    assert sent.headers["apns-collapse-id"] == message().notification_id


def test_each_device_has_its_own_id_and_keeps_it_when_it_is_tried_again(apns: Apns) -> None:
    devices = [PHONE, Device("tablet", "ios", "cd" * 32)]
    ids = [request.headers["apns-id"] for request in apns.prepare(message(), devices)]
    assert len(set(ids)) == 2
    assert ids == [request.headers["apns-id"] for request in apns.prepare(message(), devices)]


def test_too_large_a_message_is_refused_and_says_how_large(apns: Apns) -> None:
    fits = message()._replace(body="")
    fits = fits._replace(body="x" * (MAX_PAYLOAD - len(payload(fits))))
    assert len(apns.prepare(fits, [PHONE])[0].body) == MAX_PAYLOAD
    with pytest.raises(TooLarge, match="4097 bytes, 4096"):
        apns.prepare(fits._replace(body=fits.body + "x"), [PHONE])


def test_the_table_and_the_simulator_have_the_published_reasons(contracts: Path) -> None:
    published = json.loads((contracts / "apns_reasons.json").read_text())
    assert published == STATUS
    assert set(published) == set(REASONS)


@pytest.mark.parametrize("reason", [reason for reason in REASONS if reason != "ExpiredProviderToken"])
async def test_each_reason_has_its_outcome_over_the_wire_and_the_next_message_goes_through(
    apns: Apns, simulator: ApnsSimulator, reason: str
) -> None:
    await apns.send(push(apns, 0))
    simulator.answer_next(error_reply(reason))
    refused = await apns.send(push(apns, 1))
    assert (refused.outcome, refused.error) == (REASONS[reason].outcome, reason)
    assert (await apns.send(push(apns, 2))).outcome is Outcome.ACCEPTED


async def test_before_anything_was_accepted_a_bad_token_is_our_mistake(apns: Apns, simulator: ApnsSimulator) -> None:
    simulator.answer_next(error_reply("BadDeviceToken"))
    assert (await apns.send(push(apns))).outcome is Outcome.CONFIGURATION
    await apns.send(push(apns))
    simulator.answer_next(error_reply("BadDeviceToken"))
    assert (await apns.send(push(apns))).outcome is Outcome.INVALID_RECIPIENT


async def test_a_device_that_is_gone_is_gone_since_when_apns_says(apns: Apns, simulator: ApnsSimulator) -> None:
    simulator.unregister(TOKEN, at=1_700_000_000.0)
    result = await apns.send(push(apns))
    assert (result.outcome, result.error, result.dead_since) == (
        Outcome.INVALID_RECIPIENT,
        "Unregistered",
        1_700_000_000.0,
    )


async def test_throttling_says_how_long(apns: Apns, simulator: ApnsSimulator) -> None:
    simulator.answer_next(error_reply("TooManyRequests", retry_after=3))
    result = await apns.send(push(apns))
    assert (result.outcome, result.retry_after) == (Outcome.THROTTLED, 3.0)


async def test_an_expired_token_is_renewed_once_and_the_message_arrives_once(
    apns: Apns, simulator: ApnsSimulator, clock: Clock
) -> None:
    await apns.send(push(apns, 0))
    clock.ahead = NEW_FOR
    simulator.tokens.expire()
    results = await asyncio.gather(*(apns.send(push(apns, number)) for number in range(1, 20)))
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert simulator.tokens.seen == 2
    assert set(simulator.received.by_notification().values()) == {1}


async def test_a_token_that_is_refused_again_and_again_is_not_signed_again_and_again(
    apns: Apns, simulator: ApnsSimulator, clock: Clock
) -> None:
    clock.ahead = -7200.0
    results = [await apns.send(push(apns, number)) for number in range(3)]
    assert {result.error for result in results} == {"ExpiredProviderToken"}
    assert {result.outcome for result in results} == {Outcome.TRANSIENT}


async def test_a_rotated_key_is_taken_up_without_a_restart(
    simulator: ApnsSimulator, tmp_path: Path, clock: Clock
) -> None:
    client = Apns(settings(simulator, tmp_path, signing_key=tmp_path), timeout=TIMEOUT, clock=clock)
    assert (await client.send(push(client, 1))).outcome is Outcome.ACCEPTED
    await asyncio.sleep(0.02)
    simulator.tokens.write_key(tmp_path / "AuthKey_ROTATED002.p8", "ROTATED002")
    simulator.tokens.revoke(KEY_ID)
    assert (await client.send(push(client, 2))).outcome is Outcome.ACCEPTED, "the refusal makes it look at once"
    await client.close()


async def test_a_device_goes_to_the_environment_and_the_app_it_was_registered_for(
    simulator: ApnsSimulator, sandbox: ApnsSimulator, tmp_path: Path
) -> None:
    sandbox.tokens = simulator.tokens
    simulator._topics = sandbox._topics = (TOPIC, "com.example.other")
    trust = tmp_path / "both.pem"
    trust.write_bytes(simulator.certificate.read_bytes() + sandbox.certificate.read_bytes())
    client = Apns(
        settings(simulator, tmp_path, sandbox_base_url=sandbox.base_url, ca_certificates=trust), timeout=TIMEOUT
    )
    tester = Device("tester", "ios", "cd" * 32, environment="sandbox", app="com.example.other")
    requests = client.prepare(message(), [PHONE, tester])
    assert [(await client.send(request)).outcome for request in requests] == [Outcome.ACCEPTED] * 2
    assert [r.headers["apns-topic"] for r in simulator.requests] == [TOPIC]
    assert [r.headers["apns-topic"] for r in sandbox.requests] == ["com.example.other"]
    await client.close()


async def test_a_device_in_the_wrong_environment_does_not_prune_before_that_environment_is_proven(
    apns: Apns, simulator: ApnsSimulator
) -> None:
    simulator.misplace(TOKEN)
    assert (await apns.send(push(apns))).outcome is Outcome.CONFIGURATION


@pytest.mark.parametrize(
    "device",
    [
        Device("d", "ios", "not hex"),
        Device("d", "ios", "ab" * 31),
        Device("d", "ios", TOKEN + "/../x"),
        Device("d", "ios", TOKEN, app="evil\r\nx: y"),
    ],
)
async def test_what_is_no_token_or_topic_reaches_no_header(
    apns: Apns, simulator: ApnsSimulator, device: Device
) -> None:
    assert (await apns.send(push(apns, device=device))).outcome is Outcome.PERMANENT
    assert not simulator.requests


@pytest.mark.parametrize(("fault", "accepted"), [(Fault.RESET_BEFORE, 0), (Fault.RESET_AFTER, 1), (Fault.NO_ANSWER, 1)])
async def test_a_lost_answer_is_in_doubt_whether_it_was_accepted_or_not(
    simulator: ApnsSimulator, tmp_path: Path, fault: Fault, accepted: int
) -> None:
    hasty = Apns(settings(simulator, tmp_path), timeout=SOON)
    simulator.script.then(fault)
    assert (await hasty.send(push(hasty, 7))).outcome is Outcome.AMBIGUOUS
    await hasty.close()
    assert simulator.received.by_notification()[message(7).notification_id] == accepted


async def test_what_apns_certainly_did_not_process_is_no_doubt(apns: Apns, simulator: ApnsSimulator) -> None:
    async def refuse(request: object) -> None:
        request.reset(ErrorCodes.REFUSED_STREAM)  # type: ignore[attr-defined]

    await apns.send(push(apns, 0))
    simulator.server.connections[0]._handle = refuse
    assert (await apns.send(push(apns, 1))).outcome is Outcome.TRANSIENT
    assert simulator.received.accepted == 1


async def test_a_shutdown_of_apns_loses_and_doubles_nothing(simulator: ApnsSimulator, tmp_path: Path) -> None:
    apns = Apns(settings(simulator, tmp_path), timeout=20)
    simulator.script.behaviour = Behaviour(delay_ms=20, delay="exponential")
    sending = [asyncio.ensure_future(apns.send(push(apns, number))) for number in range(300)]
    for accepted in (30, 100, 200):
        while simulator.received.accepted < accepted:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.002)
        connection = simulator.server.connections[-1]
        connection.go_away(2**31 - 1, b'{"reason":"Shutdown"}')
    assert {result.outcome for result in await asyncio.gather(*sending)} == {Outcome.ACCEPTED}
    assert (simulator.received.accepted, simulator.received.duplicates) == (300, 0)
    await apns.close()


async def test_cut_connections_leave_only_what_was_under_way_in_doubt(apns: Apns, simulator: ApnsSimulator) -> None:
    results = []
    for number in range(5):
        assert (await apns.send(push(apns, number))).outcome is Outcome.ACCEPTED
        simulator.server.connections[-1].abort()
        await asyncio.sleep(0.5)  # until the client has heard of it, on a busy machine too
        results.append((await apns.send(push(apns, 100 + number))).outcome)
    assert set(results) == {Outcome.ACCEPTED}
    assert simulator.received.duplicates == 0


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(503, b""), Outcome.TRANSIENT),
        (Reply(500, b"<html>"), Outcome.TRANSIENT),
        (Reply(410, b""), Outcome.INVALID_RECIPIENT),
        (Reply(418, b"{}"), Outcome.PERMANENT),
    ],
)
async def test_an_answer_without_a_reason_follows_its_status(
    apns: Apns, simulator: ApnsSimulator, reply: Reply, expected: Outcome
) -> None:
    simulator.answer_next(reply)
    assert (await apns.send(push(apns))).outcome is expected


async def test_a_server_that_is_not_there_is_worth_another_try(simulator: ApnsSimulator, tmp_path: Path) -> None:
    client = Apns(settings(simulator, tmp_path, base_url="https://127.0.0.1:9"), timeout=TIMEOUT)
    assert (await client.send(push(client))).outcome is Outcome.TRANSIENT


async def test_a_certificate_that_we_do_not_trust_is_ours_to_look_at(simulator: ApnsSimulator, tmp_path: Path) -> None:
    client = Apns(settings(simulator, tmp_path, ca_certificates=None), timeout=TIMEOUT)
    result = await client.send(push(client))
    assert (result.outcome, result.error) == (Outcome.CONFIGURATION, "CertificateRefused")
    assert not simulator.requests


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"team_id": ""}, "team_id"),
        ({"topic": ""}, "topic"),
        ({"topic": "a b"}, "topic"),
        ({"signing_key": None}, "signing_key"),
        ({"signing_key": "/nowhere/key.p8", "key_id": KEY_ID}, "signing_key"),
        ({"base_url": "api.push.apple.com"}, "base_url"),
        ({"ca_certificates": "/nowhere.pem"}, "ca_certificates"),
    ],
)
async def test_an_account_that_cannot_work_says_which_setting(
    simulator: ApnsSimulator, tmp_path: Path, wrong: dict[str, object], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Apns(settings(simulator, tmp_path, **wrong), timeout=TIMEOUT)


WRONG: dict[str, Callable[[PushRequest], PushRequest]] = {
    "BadPriority": lambda r: r._replace(headers={**r.headers, "apns-priority": "7"}),
    "BadExpirationDate": lambda r: r._replace(headers={**r.headers, "apns-expiration": "soon"}),
    "BadMessageId": lambda r: r._replace(headers={**r.headers, "apns-id": "x"}),
    "BadCollapseId": lambda r: r._replace(headers={**r.headers, "apns-collapse-id": "x" * 65}),
    "InvalidPushType": lambda r: r._replace(headers={**r.headers, "apns-push-type": "loud"}),
    "PayloadEmpty": lambda r: r._replace(body=b'{"aps": {}, "notification_id": "n"}'),
    "PayloadTooLarge": lambda r: r._replace(body=b" " * 4097),
    "TopicDisallowed": lambda r: r._replace(device=Device("d", "ios", TOKEN, app="com.example.stranger")),
}


@pytest.mark.parametrize("reason", WRONG)
async def test_the_simulator_refuses_what_apns_would(apns: Apns, simulator: ApnsSimulator, reason: str) -> None:
    assert (await apns.send(WRONG[reason](push(apns)))).error == reason
    assert simulator.received.accepted == 0


async def test_the_simulator_refuses_strangers_and_too_many_tokens(simulator: ApnsSimulator, tmp_path: Path) -> None:
    stranger = Apns(settings(simulator, tmp_path, team_id="STRANGER01"), timeout=TIMEOUT)
    assert (await stranger.send(push(stranger))).error == "InvalidProviderToken"
    first = Apns(settings(simulator, tmp_path), timeout=TIMEOUT)
    assert (await first.send(push(first))).outcome is Outcome.ACCEPTED
    second = Apns(settings(simulator, tmp_path), timeout=TIMEOUT, clock=lambda: time.time() + 60)
    assert (await second.send(push(second))).error == "TooManyProviderTokenUpdates"
    for client in (stranger, first, second):
        await client.close()
