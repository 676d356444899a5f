import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import msgspec
import pytest

from pipeline.channels.in_app import InAppSender
from pipeline.channels.rendering import Renderer
from pipeline.errors import Unavailable
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel
from pipeline.providers.base import Outcome, SendResult
from pipeline.storage.inbox import InboxItem
from pipeline.users.snapshot import UserSnapshot


class MemoryInbox:
    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.away = False

    async def add(self, items: Sequence[InboxItem]) -> dict[str, int]:
        if self.away:
            raise Unavailable("PostgreSQL is away")
        if any("poison" in item.notification_id for item in items):
            raise asyncpg.DataError("unsupported Unicode escape sequence")
        self.batches.append([item.notification_id for item in items])
        return {item.notification_id: place for place, item in enumerate(items, 1)}


class MemoryBroadcast:
    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.away = False

    async def publish(self, messages: Sequence[bytes]) -> None:
        if self.away:
            raise Unavailable("Redis is away")
        self.batches.append([json.loads(message) for message in messages])


@pytest.fixture
def inbox() -> MemoryInbox:
    return MemoryInbox()


@pytest.fixture
def broadcast() -> MemoryBroadcast:
    return MemoryBroadcast()


@pytest.fixture
def sender(renderer: Callable[[Channel], Renderer], inbox: MemoryInbox, broadcast: MemoryBroadcast) -> InAppSender:
    return InAppSender(renderer(Channel.IN_APP), inbox, broadcast)


@pytest.fixture
def send(
    sender: InAppSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> Callable[..., asyncio.Future[list[SendResult]]]:
    def send_all(*ids: str) -> asyncio.Future[list[SendResult]]:
        dispatches = [msgspec.structs.replace(make_dispatch(Channel.IN_APP), notification_id=id_) for id_ in ids]
        return asyncio.gather(*(sender.send(d, sender.prepare(d, user)[0]) for d in dispatches))

    return send_all


async def test_what_is_sent_at_once_is_one_insert_and_one_publish(
    send: Callable[..., asyncio.Future[list[SendResult]]], inbox: MemoryInbox, broadcast: MemoryBroadcast
) -> None:
    results = await send("a", "b", "c")
    assert [result.outcome for result in results] == [Outcome.ACCEPTED] * 3
    assert inbox.batches == [["a", "b", "c"]]
    assert [len(batch) for batch in broadcast.batches] == [3]


async def test_clients_get_the_promised_message(
    sender: InAppSender, broadcast: MemoryBroadcast, make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    data = {"text": "It is \x00 <here>", "link": "https://example.com/1", "nested": {"a": [1]}}
    dispatch = make_dispatch(Channel.IN_APP, data=json.dumps(data))
    await sender.send(dispatch, sender.prepare(dispatch, user)[0])
    assert broadcast.batches == [
        [
            {
                "recipient_id": "user_1",
                "place": 1,
                "data": {
                    "notification_id": dispatch.notification_id,
                    "cursor": "1",
                    "event_type": "order.shipped",
                    "title": "Title",
                    "body": "It is  <here>",
                    "link": "https://example.com/1",
                    "data": data,
                    "created_at": 1_771_840_800_000,
                },
            }
        ]
    ]


async def test_an_item_that_cannot_be_stored_fails_alone(
    send: Callable[..., asyncio.Future[list[SendResult]]], broadcast: MemoryBroadcast
) -> None:
    results = await send("a", "poison", "b")
    assert [result.outcome for result in results] == [Outcome.ACCEPTED, Outcome.PERMANENT, Outcome.ACCEPTED]
    assert [m["data"]["notification_id"] for m in broadcast.batches[0]] == ["a", "b"]


async def test_while_a_server_is_away_everything_is_tried_again(
    send: Callable[..., asyncio.Future[list[SendResult]]], inbox: MemoryInbox, broadcast: MemoryBroadcast
) -> None:
    inbox.away = True
    assert {result.outcome for result in await send("a", "b")} == {Outcome.THROTTLED}
    assert broadcast.batches == []
    inbox.away, broadcast.away = False, True
    assert {result.outcome for result in await send("a", "b")} == {Outcome.THROTTLED}
