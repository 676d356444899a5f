"""Web push over real sockets: against the simulator, and against an independent implementation of the other side."""

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator

import aiohttp
import http_ece
import platformdirs
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import SecretStr
from yarl import URL

from pipeline.config import WebPushSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import Outcome
from pipeline.providers.push_message import MAX_TTL, PushMessage, PushRequest, TooLarge
from pipeline.providers.webpush import MAX_BODY, MAX_PAYLOAD, WebPush, encrypt, payload
from pipeline.providers.webpush_table import STATUSES
from pipeline.testing.behaviour import Fault
from pipeline.testing.http_simulator import Reply
from pipeline.testing.webpush import WebPushSimulator
from pipeline.users.snapshot import Device
from pipeline.users.synthetic import WEB_PUSH_HOST, web_subscription
from pipeline.users.web_subscription import WebSubscription, parse_subscription

TIMEOUT = 15.0
SOON = 0.5
WEB_PUSH_TESTING = "1.2.2"
SUBJECT = "mailto:push@example.com"


@pytest.fixture
async def simulator() -> AsyncIterator[WebPushSimulator]:
    async with WebPushSimulator() as simulator:
        yield simulator


def settings(simulator: WebPushSimulator, **others: object) -> WebPushSettings:
    given = {
        "base_url": simulator.base_url,
        "vapid_key": SecretStr(simulator.vapid_key),
        "subject": SUBJECT,
        "allowed_hosts": WEB_PUSH_HOST,
    }
    return WebPushSettings.model_validate(given | others)


@pytest.fixture
async def webpush(simulator: WebPushSimulator) -> AsyncIterator[WebPush]:
    client = WebPush(settings(simulator), timeout=TIMEOUT)
    await client.start()
    yield client
    await client.close()


def message(notification_id: str = "n1", **changes: object) -> PushMessage:
    made = PushMessage(notification_id, "order.shipped", "Tïtle", "<b>", True, None, None, None)
    return made._replace(**changes)  # type: ignore[arg-type]  # as they come


def push(client: WebPush, simulator: WebPushSimulator, notification_id: str = "n1") -> PushRequest:
    browser = Device("browser", "web", simulator.subscribe("browser"))
    return client.prepare(message(notification_id), [browser])[0]


async def test_a_message_is_read_by_the_browser_and_by_nobody_else(
    webpush: WebPush, simulator: WebPushSimulator
) -> None:
    (request,) = webpush.prepare(message(collapse_key="order-1", ttl=90), [Device("b", "web", simulator.subscribe())])
    result = await webpush.send(request)
    assert result.outcome is Outcome.ACCEPTED
    assert result.message_id
    headers, content = simulator.opened[-1]
    assert (content.notification_id, content.title, content.body, content.tag) == ("n1", "Tïtle", "<b>", "order-1")
    expected = {"TTL": "90", "Urgency": "high", "Topic": "order-1", "Content-Encoding": "aes128gcm"}
    assert {name: headers[name] for name in expected} == expected


async def test_without_an_expiry_it_is_kept_as_long_as_services_keep_anything(
    webpush: WebPush, simulator: WebPushSimulator
) -> None:
    (request,) = webpush.prepare(message(high_priority=False), [Device("b", "web", simulator.subscribe())])
    await webpush.send(request)
    headers, _ = simulator.opened[-1]
    assert (headers["TTL"], headers["Urgency"], headers["Topic"]) == (str(MAX_TTL), "normal", "n1")


async def test_many_at_once_share_one_signature(webpush: WebPush, simulator: WebPushSimulator) -> None:
    results = await asyncio.gather(*(webpush.send(push(webpush, simulator, f"n{number}")) for number in range(100)))
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert len({headers["Authorization"] for headers, _ in simulator.opened}) == 1
    assert simulator.received.duplicates == 0


def test_the_largest_message_takes_no_more_than_every_service_takes(webpush: WebPush) -> None:
    browser = Device("b", "web", web_subscription("u", "d"))
    small = message(body="")
    fits = message(body="x" * (MAX_PAYLOAD - len(payload(small))))
    (request,) = webpush.prepare(fits, [browser])
    assert len(encrypt(request.body, parse_subscription(browser.token))) == MAX_BODY
    with pytest.raises(TooLarge, match=f"{MAX_PAYLOAD + 1} bytes, {MAX_PAYLOAD}"):
        webpush.prepare(message(body=fits.body + "x"), [browser])


def test_what_is_encrypted_can_be_read_with_the_browsers_key_only() -> None:
    browser, stranger = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    point = browser.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    sealed = encrypt(b"hello", WebSubscription(URL("https://x"), point, b"a" * 16))
    assert http_ece.decrypt(sealed, private_key=browser, auth_secret=b"a" * 16) == b"hello"
    for key, auth in ((stranger, b"a" * 16), (browser, b"b" * 16)):
        with pytest.raises(http_ece.ECEException):
            http_ece.decrypt(sealed, private_key=key, auth_secret=auth)


@pytest.mark.parametrize("status", STATUSES)
async def test_each_status_has_its_outcome_over_the_wire_and_the_next_message_goes_through(
    webpush: WebPush, simulator: WebPushSimulator, status: int
) -> None:
    simulator.answer_next(Reply(status, b"", {"Retry-After": "7"} if status in {429, 503} else {}))
    refused = await webpush.send(push(webpush, simulator))
    assert (refused.outcome, refused.error) == (STATUSES[status].outcome, str(status))
    assert refused.retry_after == (7.0 if status in {429, 503} else None)
    assert (await webpush.send(push(webpush, simulator))).outcome is Outcome.ACCEPTED


async def test_a_browser_that_is_gone_is_a_dead_device(webpush: WebPush, simulator: WebPushSimulator) -> None:
    request = push(webpush, simulator)
    simulator.expire(request.device.token)
    assert (await webpush.send(request)).outcome is Outcome.INVALID_RECIPIENT


@pytest.mark.parametrize("token", ["{}", '{"endpoint": "https://push.example.com/x", "keys": {}}'])
async def test_a_subscription_that_cannot_be_read_is_a_dead_device(webpush: WebPush, token: str) -> None:
    (request,) = webpush.prepare(message(), [Device("b", "web", token)])
    result = await webpush.send(request)
    assert (result.outcome, result.error) == (Outcome.INVALID_RECIPIENT, "malformed_subscription")


async def test_a_key_that_is_no_point_of_the_curve_is_a_dead_device(
    webpush: WebPush, simulator: WebPushSimulator
) -> None:
    subscription = json.loads(simulator.subscribe())
    subscription["keys"]["p256dh"] = "A" * 87
    (request,) = webpush.prepare(message(), [Device("b", "web", json.dumps(subscription))])
    assert (await webpush.send(request)).outcome is Outcome.INVALID_RECIPIENT


@pytest.mark.parametrize(("fault", "accepted"), [(Fault.RESET_BEFORE, 0), (Fault.RESET_AFTER, 1), (Fault.NO_ANSWER, 1)])
async def test_a_lost_answer_is_in_doubt(simulator: WebPushSimulator, fault: Fault, accepted: int) -> None:
    hasty = WebPush(settings(simulator), timeout=SOON)
    await hasty.start()
    simulator.script.then(fault)
    assert (await hasty.send(push(hasty, simulator, "lost"))).outcome is Outcome.AMBIGUOUS
    await hasty.close()
    assert simulator.received.by_notification()["lost"] == accepted


async def test_a_server_that_is_not_there_is_worth_another_try(simulator: WebPushSimulator) -> None:
    client = WebPush(settings(simulator, base_url="http://127.0.0.1:9"), timeout=TIMEOUT)
    await client.start()
    assert (await client.send(push(client, simulator))).outcome is Outcome.TRANSIENT
    await client.close()


def browser_at(endpoint: str) -> Device:
    subscription = json.loads(web_subscription("u", "d")) | {"endpoint": endpoint}
    return Device("b", "web", json.dumps(subscription))


@pytest.mark.parametrize("everywhere", [False, True])
async def test_a_subscription_is_no_way_into_our_own_network(simulator: WebPushSimulator, everywhere: bool) -> None:
    """The simulator listens on 127.0.0.1: none of these may reach it, whatever hosts are allowed."""
    port = URL(simulator.base_url).port
    hosts = "*" if everywhere else WEB_PUSH_HOST
    client = WebPush(settings(simulator, base_url="", allowed_hosts=hosts), timeout=TIMEOUT)
    await client.start()
    for host in ("127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]"):
        for scheme in ("http", "https"):
            (request,) = client.prepare(message(), [browser_at(f"{scheme}://{host}:{port}/wpush/{'a' * 64}")])
            assert (await client.send(request)).outcome in {Outcome.PERMANENT, Outcome.TRANSIENT}
    await client.close()
    assert simulator.received.accepted == 0
    assert not simulator.received.refused


async def test_a_redirect_is_not_followed(webpush: WebPush, simulator: WebPushSimulator) -> None:
    simulator.answer_next(Reply(307, b"", {"Location": f"{simulator.base_url}/wpush/{'a' * 64}"}))
    assert (await webpush.send(push(webpush, simulator))).outcome is Outcome.CONFIGURATION
    assert simulator.received.accepted == 0


@pytest.mark.parametrize(
    "wrong", [{"vapid_key": SecretStr("x")}, {"subject": "nobody"}, {"base_url": "push.example.com"}]
)
def test_an_account_that_cannot_work_says_which_setting(simulator: WebPushSimulator, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        WebPush(settings(simulator, **wrong), timeout=TIMEOUT)


async def test_the_simulator_refuses_another_application(simulator: WebPushSimulator) -> None:
    async with WebPushSimulator() as other:
        client = WebPush(settings(simulator, vapid_key=SecretStr(other.vapid_key)), timeout=TIMEOUT)
    await client.start()
    assert (await client.send(push(client, simulator))).outcome is Outcome.CONFIGURATION
    await client.close()


@pytest.mark.parametrize(
    ("header", "value"),
    [("TTL", ""), ("Urgency", "loud"), ("Topic", "x" * 33), ("Topic", "a b"), ("Content-Encoding", "aesgcm")],
)
async def test_the_simulator_refuses_what_a_push_service_would(
    webpush: WebPush, simulator: WebPushSimulator, header: str, value: str
) -> None:
    request = push(webpush, simulator)
    wrong = request._replace(headers={**request.headers, header: value})
    assert (await webpush.send(wrong)).outcome is Outcome.PERMANENT
    assert simulator.received.accepted == 0


async def test_the_simulator_refuses_what_the_browser_could_not_read(
    webpush: WebPush, simulator: WebPushSimulator
) -> None:
    subscription = json.loads(simulator.subscribe("browser"))
    subscription["keys"] = json.loads(simulator.subscribe("another"))["keys"]
    (request,) = webpush.prepare(message(), [Device("b", "web", json.dumps(subscription))])
    assert (await webpush.send(request)).outcome is Outcome.PERMANENT


@pytest.fixture(scope="session")
def web_push_testing() -> Iterator[str]:
    """npm's ``web-push-testing``, installed once into the user's cache: browser and push service by somebody else."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("web-push-testing needs node and npm, and they are not here")
    folder = platformdirs.user_cache_path("notification-pipeline") / f"web-push-testing-{WEB_PUSH_TESTING}"
    server = folder / "node_modules" / "web-push-testing" / "src" / "bin" / "server.js"
    if not server.exists():
        install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
        package = f"web-push-testing@{WEB_PUSH_TESTING}"
        done = subprocess.run([*install, package], capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"npm cannot install {package}: {done.stderr.strip()[-200:]}")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    process = subprocess.Popen([node, str(server), str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert "running" in process.stdout.readline()
    yield f"http://localhost:{port}"
    process.terminate()
    process.communicate(timeout=10)


async def test_an_independent_browser_reads_it_and_its_service_knows_us(
    web_push_testing: str, simulator: WebPushSimulator
) -> None:
    client = WebPush(settings(simulator, base_url="", allowed_hosts="localhost", allow_insecure=True), timeout=5.0)
    await client.start()
    options = {"userVisibleOnly": "true", "applicationServerKey": client.public_key}
    async with aiohttp.ClientSession(web_push_testing) as http:

        async def ask(path: str, body: dict[str, object] | None = None) -> dict[str, dict[str, object]]:
            async with http.post(path, json=body) as response:
                assert response.status == 200, await response.text()
                found: dict[str, dict[str, object]] = (
                    await response.json() if response.content_type == "application/json" else {}
                )
                return found

        subscription = (await ask("/subscribe", dict(options)))["data"]
        client_hash = subscription["clientHash"]
        (request,) = client.prepare(message(), [Device("b", "web", json.dumps(subscription))])
        assert (await client.send(request)).outcome is Outcome.ACCEPTED
        read = (await ask("/get-notifications", {"clientHash": client_hash}))["data"]["messages"]
        assert isinstance(read, list)
        assert json.loads(read[0])["notification_id"] == "n1"

        async with WebPushSimulator() as other:
            stranger = WebPush(
                settings(other, base_url="", allowed_hosts="localhost", allow_insecure=True), timeout=5.0
            )
        await stranger.start()
        assert (await stranger.send(request)).outcome is not Outcome.ACCEPTED
        await stranger.close()

        await ask(f"/expire-subscription/{client_hash}")
        assert (await client.send(request)).outcome is Outcome.INVALID_RECIPIENT
    await client.close()
