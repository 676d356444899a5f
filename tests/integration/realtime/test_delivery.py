"""What is published reaches a user's clients on every instance, over every transport."""

import asyncio
import time
from typing import Any

import pytest

from pipeline.kafka.names import IN_APP_CHANNEL
from tests.integration.realtime.conftest import (
    Instance,
    Servers,
    SocketClient,
    item,
    poll,
    somebody,
    stream,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

ODD: list[Any] = [
    {"title": "Hello"},
    {},
    {"text": "line one\nline two\r\n", "html": "</script>", "emoji": "🎉", "u2028": "\u2028"},
    {"nested": {"list": [1, 2.5, None, True, {"deep": []}]}, "large": 9_007_199_254_740_993},
]


@pytest.mark.parametrize("transports", [["websocket"], ["polling"], ["polling", "websocket"]], ids="-".join)
async def test_whatever_is_published_reaches_socket_io_clients_as_it_is(
    servers: Servers, first: Instance, second: Instance, transports: list[str]
) -> None:
    user = somebody()
    clients = [SocketClient(user, transports), SocketClient(user, transports)]
    for client, instance in zip(clients, (first, second), strict=True):
        await client.connect(instance)
    for data in ODD:
        await servers.publish(user, data)
    for client in clients:
        await until(lambda c=client: len(c.got()) == len(ODD))
        assert client.got() == ODD
        await client.close()


async def test_a_stream_and_a_poll_get_it_too(servers: Servers, first: Instance, second: Instance) -> None:
    user = somebody()
    async with stream(first, user) as one:
        waiting = asyncio.create_task(poll(second, user))
        await until(lambda: second.metric("connections", transport="poll") == 1)
        for data in ODD:
            await servers.publish(user, data)
        got = [await one.next() for _ in ODD]
        assert [(event.event, event.data) for event in got if event] == [("notification", data) for data in ODD]
        answer = await waiting
        assert answer["notifications"] == ODD[: len(answer["notifications"])] != []


async def test_json_over_several_lines_is_one_event(servers: Servers, first: Instance) -> None:
    user = somebody()
    async with stream(first, user) as one:
        text = '{"recipient_id": "USER",\n "data": {\n  "title": "a",\r\n  "n": [1,\n2]}}'.replace("USER", user)
        await servers.redis.publish(IN_APP_CHANNEL, text)
        event = await one.next()
        assert event is not None
        assert event.data == {"title": "a", "n": [1, 2]}


async def test_nobody_gets_what_is_for_somebody_else(servers: Servers, first: Instance) -> None:
    alice, bob = SocketClient(somebody("alice")), SocketClient(somebody("bob"))
    await alice.connect(first)
    await bob.connect(first)
    await servers.publish(alice.user_id, {"title": "for alice"})
    await servers.publish(bob.user_id, {"title": "for bob"})
    await until(lambda: alice.got() and bob.got())
    assert (alice.titles, bob.titles) == (["for alice"], ["for bob"])
    await alice.close()
    await bob.close()


@pytest.mark.parametrize(
    "raw",
    [b"", b"nonsense", b"[]", b"{}", b'{"recipient_id": 7, "data": {}}', b'{"recipient_id": "x"}', b"\xff\xfe",
     b'{"recipient_id": "x", "data": {"a": }}', b'{"recipient_id": "x", "data": {}, "event": "other"}', b"[" * 5_000],
)  # fmt: skip
async def test_what_is_no_message_is_counted_and_harms_nobody(servers: Servers, first: Instance, raw: bytes) -> None:
    before = first.metric("messages_total", outcome="malformed")
    await servers.redis.publish(IN_APP_CHANNEL, raw)
    await until(lambda: first.metric("messages_total", outcome="malformed") == before + 1)
    client = SocketClient(somebody())
    await client.connect(first)
    await servers.publish(client.user_id, {"title": "still there"})
    await until(lambda: client.titles == ["still there"])
    await client.close()


async def test_a_burst_for_one_client_comes_whole_and_in_order(servers: Servers, first: Instance) -> None:
    user, count = somebody(), 3_000
    client = await SocketClient(user).connect(first)
    async with stream(first, user) as one:
        items = [item(user, number) for number in range(count)]
        for start in range(0, count, 500):
            await servers.deliver(*items[start : start + 500])
        titles = [str(number) for number in range(count)]
        assert await one.titles(count) == titles
        await until(lambda: len(client.titles) >= count)
        assert client.titles == titles
    await client.close()


async def test_how_long_it_takes_from_publish_to_client(servers: Servers, first: Instance, second: Instance) -> None:
    """Printed, not judged: other work on the machine shows in it."""
    clients = [SocketClient(somebody()) for _ in range(40)]
    for number, client in enumerate(clients):
        await client.connect((first, second)[number % 2])
    delays: list[float] = []
    for _ in range(5):
        for client in clients:
            client.events.clear()
            await servers.publish(client.user_id, {"at": time.perf_counter()})
        await until(lambda: all(client.got() for client in clients))
        delays += [client.arrivals[-1] - client.got()[0]["at"] for client in clients]
    print(f"publish to client, both in one process: p99 {sorted(delays)[int(0.99 * len(delays))] * 1000:.1f} ms")  # noqa: T201
    for client in clients:
        await client.close()
