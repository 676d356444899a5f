"""Bounds: connections, slow clients; the end of an instance; presence; what is read."""

import asyncio
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
import socketio

from pipeline.realtime.presence import Presence
from pipeline.realtime.reads import ReadBroadcast
from pipeline.storage.inbox_reader import InboxReader
from tests.integration.realtime.conftest import (
    Instance,
    Servers,
    SocketClient,
    bearer,
    item,
    poll,
    somebody,
    stream,
    token,
    until,
    until_seen,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_user_has_so_many_connections_and_no_more(servers: Servers) -> None:
    async with servers.instance(max_connections_per_user=2) as instance:
        user = somebody()
        client = await SocketClient(user).connect(instance)
        async with stream(instance, user):
            assert await refusal(instance, "/v1/poll", user) == (429, "10")
            third = SocketClient(user)
            with pytest.raises(socketio.exceptions.ConnectionError):
                await third.connect(instance)
            assert third.refused["data"]["status"] == 429
            await third.close()
            other = await SocketClient(somebody()).connect(instance)
            await other.close()
        await until(lambda: instance.metric("connections", transport="sse") == 0)
        await (await SocketClient(user).connect(instance)).close()
        await client.close()


async def refusal(instance: Instance, path: str, user: str) -> tuple[int, str | None]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(instance.url + path, headers=bearer(user)) as answer,
    ):
        return answer.status, answer.headers.get("Retry-After")


async def test_an_instance_has_so_many_connections_and_no_more(servers: Servers) -> None:
    async with (
        servers.instance(max_connections=2) as instance,
        stream(instance, somebody()),
        stream(instance, somebody()),
    ):
        assert await refusal(instance, "/v1/stream", somebody()) == (503, "5")
        refused = SocketClient(somebody())
        with pytest.raises(socketio.exceptions.ConnectionError):
            await refused.connect(instance)
        await refused.close()


async def test_a_stream_that_takes_nothing_in_is_cut_off_and_loses_nothing(servers: Servers) -> None:
    async with servers.instance(send_timeout=0.5, queue=100) as instance:
        user, count = somebody(), 200
        reader, writer = await raw_request(instance, "/v1/stream", user)
        await reader.readuntil(b"event: ready")
        titles = [f"{number}" + "x" * 50_000 for number in range(count)]
        for start in range(0, count, 20):
            await servers.deliver(*(item(user, 0, title=title) for title in titles[start : start + 20]))
        await until(lambda: instance.metric("ended_total", reason="slow") == 1)
        writer.close()
        async with stream(instance, user, after="0") as again:
            assert await again.titles(count) == titles


async def test_a_socket_that_takes_nothing_in_is_cut_off(servers: Servers) -> None:
    async with servers.instance(send_timeout=0.5, queue=100) as instance:
        user = somebody()
        client = await SocketClient(user).connect(instance)
        other = await SocketClient(somebody()).connect(instance)
        transport = client.client.eio.ws._response.connection.transport
        transport.pause_reading()
        large = {"title": "x" * 100_000}
        while not instance.metric("ended_total", reason="slow"):
            await servers.publish(user, large)
            await asyncio.sleep(0)
        await until(lambda: instance.metric("connections", transport="socketio") == 1)
        await servers.publish(other.user_id, {"title": "unharmed"})
        await until(lambda: other.titles == ["unharmed"])
        await other.close()
        transport.abort()


async def raw_request(instance: Instance, path: str, user: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that reads no more than it is asked to."""
    host, port = instance.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1_000)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token(user)}\r\n\r\n".encode())
    return reader, writer


async def test_an_instance_that_stops_sends_its_clients_away_and_they_lose_nothing(
    servers: Servers, second: Instance
) -> None:
    users = [somebody() for _ in range(12)]
    polled = somebody()
    async with servers.instance(drain_rate=20) as instance:
        clients = [await SocketClient(user).connect(instance) for user in users[:6]]
        open_streams = [stream(instance, user) for user in users[6:]]
        streams = [await each.__aenter__() for each in open_streams]
        waiting = asyncio.create_task(poll(instance, polled))
        await until(lambda: instance.metric("connections", transport="poll") == 1)
        await servers.deliver(*(item(user, 1) for user in users))
        for client in clients:
            await until(lambda c=client: c.titles == ["1"])
    for each in streams:
        assert await each.titles(1) == ["1"]
        assert await each.next() is None
        assert each.retry is not None
        assert 0 <= each.retry <= 10_000
    assert len({each.retry for each in streams}) > 1
    for client in clients:
        await until(lambda c=client: c.gone)
    assert (await waiting)["notifications"] == []
    assert instance.metric("ended_total", reason="drained") == 13
    assert not instance.runtime.health.ready
    await servers.deliver(*(item(user, 2) for user in users))
    for client in clients:
        back = await SocketClient(client.user_id).connect(second, after=client.got()[-1]["cursor"])
        await until(lambda b=back: b.titles == ["2"])
        await back.close()
    for user, each, left in zip(users[6:], streams, open_streams, strict=True):
        async with stream(second, user, after=each.last_id) as again:
            assert await again.titles(1) == ["2"]
        await left.__aexit__(None, None, None)


async def test_what_is_read_on_one_client_shows_on_the_others(
    servers: Servers, first: Instance, second: Instance
) -> None:
    user = somebody()
    items = [item(user, 1), item(user, 2)]
    socket = await SocketClient(user).connect(first)
    async with stream(second, user) as one:
        await servers.deliver(*items)
        await one.titles(2)
        waiting = asyncio.create_task(poll(first, user))
        await until(lambda: first.metric("connections", transport="poll") == 1)
        marked = await InboxReader(servers.pool).mark(user, [items[0].notification_id])
        await ReadBroadcast(servers.redis)(user, marked.ids, marked.unread)
        told = {"notification_ids": [items[0].notification_id], "unread": 1}
        event = await one.next()
        assert event is not None
        assert (event.event, event.data) == ("read", told)
        await until(lambda: socket.got("read") == [told])
        assert (await waiting)["read"] == [told]
    await socket.close()


async def test_presence_tells_who_is_connected_and_when_they_were_last(servers: Servers) -> None:
    user, presence = somebody(), Presence(servers.redis)

    async def seen() -> tuple[bool, datetime | None]:
        return await presence.seen(user, datetime.now(UTC))

    assert await seen() == (False, None)
    began = datetime.now(UTC)
    async with servers.instance(presence=5) as one, servers.instance(presence=5) as two:
        client = await SocketClient(user).connect(one)
        async with stream(two, user):
            await until_seen(presence, user, True)
            await client.close()
            assert await presence.seen_since(user, began, datetime.now(UTC))
            await asyncio.sleep(0.5)
            assert (await seen())[0]
        await until_seen(presence, user, False)
    now = datetime.now(UTC)
    _, last = await seen()
    assert last is not None
    assert began <= last <= now
    assert not await presence.seen_since(user, now + timedelta(seconds=1), now + timedelta(seconds=2))


async def test_an_instance_that_dies_leaves_a_presence_that_runs_out(servers: Servers) -> None:
    user, presence = somebody(), Presence(servers.redis)
    async with servers.instance(presence=1.5) as instance, stream(instance, user):
        await until_seen(presence, user, True)
        later = datetime.now(UTC) + timedelta(seconds=10)
        assert not (await presence.seen(user, later)).connected
