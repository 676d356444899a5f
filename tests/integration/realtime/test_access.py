"""Who may connect: every transport, every way of not being who one says one is, every page."""

import base64
import json
import time
from typing import Any

import aiohttp
import jwt
import pytest
import socketio

from pipeline.realtime import service, sockets
from tests.integration.realtime.conftest import (
    Instance,
    Servers,
    SocketClient,
    somebody,
    stream,
    token,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def unsigned(user: str) -> str:
    head, payload = ({"alg": "none", "typ": "JWT"}, {"sub": user, "aud": "notifications", "exp": time.time() + 300})
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, payload)]
    return f"{parts[0]}.{parts[1]}."


WRONG = {
    "none": "",
    "nonsense": "nonsense",
    "an API key": "nk_0123456789ab_secret",
    "expired": token("alice", exp=int(time.time()) - 60),
    "for another audience": token("alice", aud="billing"),
    "without an end": token("alice", exp=None),
    "without a subject": token("alice", sub=None),
    "an empty subject": token("alice", sub=""),
    "signed by somebody else": jwt.encode({"sub": "alice", "aud": "notifications", "exp": 2**31}, "x" * 64, "HS256"),
    "unsigned": unsigned("alice"),
    "cut short": token("alice")[:-3],
}


async def status(instance: Instance, path: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(instance.url + path, headers=headers) as answer:
        if answer.status >= 400:
            assert answer.content_type == "application/problem+json"
            assert (await answer.json(content_type=None))["status"] == answer.status
        return answer.status


@pytest.mark.parametrize("wrong", WRONG, ids=lambda name: name.replace(" ", "-"))
async def test_nobody_gets_in_by_a_token_that_is(first: Instance, wrong: str) -> None:
    given = WRONG[wrong]
    for path in ("/v1/stream", "/v1/poll"):
        assert await status(first, path, Authorization=f"Bearer {given}") == 401
        assert await status(first, f"{path}?access_token={given}") == 401
    client = SocketClient("alice")
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(first, auth={"token": given})
    assert client.refused["data"]["status"] == 401
    await client.close()


async def test_a_socket_without_any_auth_is_refused_and_let_go(first: Instance) -> None:
    client = SocketClient("alice")
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(first, auth={})
    await client.close()
    assert first.metric("connections", transport="socketio") == 0


@pytest.mark.parametrize("way", ["auth", "header", "query"])
async def test_each_way_to_give_a_token_leads_in(servers: Servers, first: Instance, way: str) -> None:
    user = somebody()
    client = SocketClient(user)
    if way == "header":
        await client.connect(first, auth={}, headers={"Authorization": f"Bearer {token(user)}"})
    elif way == "query":
        url = f"{first.url}?access_token={token(user)}"
        await client.client.connect(url, transports=["websocket"])
    else:
        await client.connect(first)
    await servers.publish(user, {"title": "1"})
    await until(lambda: client.titles == ["1"])
    await client.close()


async def test_an_event_source_gives_its_token_in_the_query(servers: Servers, first: Instance) -> None:
    user = somebody()
    async with aiohttp.ClientSession() as session:
        for name in ("access_token", "token"):
            async with session.get(f"{first.url}/v1/stream?{name}={token(user)}") as answer:
                assert answer.status == 200
                assert answer.content_type == "text/event-stream"


@pytest.mark.parametrize("after", ["-1", "1.5", "x", "9" * 30, "٣", "1 2"])
async def test_a_cursor_that_is_none_is_refused(first: Instance, after: str) -> None:
    user = somebody()
    assert await status(first, f"/v1/poll?after={after}", Authorization=f"Bearer {token(user)}") == 400
    client = SocketClient(user)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(first, after=after)
    assert client.refused["data"]["status"] == 400
    await client.close()


@pytest.mark.parametrize("seconds", ["-1", "x", "nan", "inf", "1000"])
async def test_a_wait_that_cannot_be_is_refused(first: Instance, seconds: str) -> None:
    assert await status(first, f"/v1/poll?timeout={seconds}", Authorization=f"Bearer {token('alice')}") == 400


ALLOWED = "https://app.example.com"


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        (ALLOWED, True),
        ("http://localhost:8080", True),
        ("SAME", True),
        ("https://evil.example", False),
        ("https://app.example.com.evil.example", False),
        ("http://app.example.com", False),
        ("null", False),
    ],
)
async def test_pages_connect_only_from_origins_that_may(servers: Servers, origin: str, may: bool) -> None:
    async with servers.instance(origins=ALLOWED) as instance:
        given = instance.url if origin == "SAME" else origin
        headers = {"Authorization": f"Bearer {token('alice')}", "Origin": given}
        async with aiohttp.ClientSession() as session:
            for path in ("/v1/poll?timeout=0", "/v1/stream", "/socket.io/?EIO=4&transport=polling"):
                async with session.get(instance.url + path, headers=headers) as answer:
                    assert answer.status == (200 if may else 403), path
                    assert answer.headers.get("Access-Control-Allow-Origin") == (given if may else None)
            ask = {"Origin": given, "Access-Control-Request-Method": "GET"}
            async with session.options(instance.url + "/v1/stream", headers=ask) as answer:
                assert answer.status == (204 if may else 403)
            socket: Any = session.ws_connect(instance.url + "/socket.io/?EIO=4&transport=websocket", headers=headers)
            if may:
                await (await socket).close()
            else:
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await socket


async def test_nobody_stays_longer_than_their_token(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "EXPIRY_EVERY", 0.1)
    user = somebody()
    async with servers.instance() as instance:
        short = token(user, exp=int(time.time()) - 8)  # with the leeway of 10 s it is good for another second or two
        client = await SocketClient(user).connect(instance, auth={"token": short})
        async with stream(instance, user, headers={"Authorization": f"Bearer {short}"}) as one:
            assert await one.next() is None
            assert one.retry == 0
        await until(lambda: client.gone)
        assert instance.metric("ended_total", reason="expired") == 2


async def test_who_connects_and_never_says_who_they_are_is_sent_away(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "JANITOR_EVERY", 0.2)
    async with servers.instance() as instance:
        url = instance.url + "/socket.io/?EIO=4&transport=websocket"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
            while not socket.closed:
                await socket.receive(timeout=60)


@pytest.mark.parametrize(
    "packet", ["4", "44", "45-", "4{}", "450-[", "40/admin,{}", "42[]", '42["notification",1]', "9", "x" * 99]
)
async def test_whatever_a_client_sends_it_harms_nobody(servers: Servers, first: Instance, packet: str) -> None:
    user = somebody()
    url = first.url + "/socket.io/?EIO=4&transport=websocket"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.receive()
        await socket.send_str(f'40{{"token":"{token(user)}"}}')
        await socket.receive()
        await socket.send_str(packet)
        await socket.send_str("x" * 20_000)  # longer than anything that is expected
    await until(lambda: first.metric("connections", transport="socketio") == 0)
    client = await SocketClient(user).connect(first)
    await servers.publish(user, {"title": "still there"})
    await until(lambda: client.titles == ["still there"])
    await client.close()
