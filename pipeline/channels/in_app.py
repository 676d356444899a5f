"""In-app: a row in the inbox, then a message to the clients that are connected right now."""

from collections.abc import Sequence

import asyncpg
import msgspec
from redis.asyncio import Redis

from pipeline.channels.base import Part
from pipeline.channels.ports import Broadcast, Inbox
from pipeline.channels.rendering import Renderer, one_line
from pipeline.errors import ConfigurationError, Unavailable
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel
from pipeline.kafka.names import IN_APP_CHANNEL
from pipeline.providers.base import Outcome, SendResult
from pipeline.storage.coalescer import Coalescer
from pipeline.storage.inbox import InboxItem
from pipeline.storage.inbox_feed import inbox_data
from pipeline.storage.redis import REDIS_AWAY
from pipeline.storage.slots import publish
from pipeline.users.snapshot import UserSnapshot

NAME = "inbox"
AWAY_WAIT = 1.0
"""Seconds until a server of ours that is away is tried again."""

_NOT_STORABLE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError)
"""The item is at fault, not the database; ValueError: asyncpg itself cannot encode it."""

_encode = msgspec.json.Encoder().encode
_ACCEPTED = SendResult(outcome=Outcome.ACCEPTED, provider=NAME)


class RedisBroadcast:
    """Publishes on the Redis channel that the realtime service listens to."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def publish(self, messages: Sequence[bytes]) -> None:
        """See `pipeline.channels.ports.Broadcast`."""
        try:
            await publish(self._redis, IN_APP_CHANNEL, messages)
        except REDIS_AWAY as error:
            raise Unavailable(f"Redis cannot be reached: {type(error).__name__}") from error


class InAppSender:
    """The in-app channel. The inbox knows each notification once, so sending it again is harmless."""

    channel = Channel.IN_APP
    repeat_is_harmless = True

    def __init__(self, renderer: Renderer, inbox: Inbox, broadcast: Broadcast) -> None:
        self._renderer = renderer
        self._inbox = inbox
        self._broadcast = broadcast
        self._coalescer: Coalescer[InboxItem, SendResult] = Coalescer(self._deliver)

    async def start(self) -> None:
        """Nothing to open: the pools are the process's."""

    async def close(self) -> None:
        """Nothing to close."""

    def prepare(self, dispatch: Dispatch, user: UserSnapshot) -> Sequence[Part]:
        """One part; see `pipeline.channels.base.ChannelSender.prepare`."""
        text = self._renderer.render(dispatch, user)
        event = dispatch.event
        item = InboxItem(
            notification_id=dispatch.notification_id,
            user_id=event.recipient_id,
            event_type=event.event_type,
            category=dispatch.category,
            title=one_line(text["title"]),
            body=_storable(text["body"].strip()),
            link=one_line(text.get("link", "")) or None,
            data=event.data,
            created_at=event.created_at,
        )
        return [Part(key="", payload=item)]

    async def send(self, dispatch: Dispatch, part: Part) -> SendResult:  # noqa: ARG002 - as the port has it
        assert isinstance(part.payload, InboxItem)
        return await self._coalescer.call(part.payload)

    async def prune(self, dispatch: Dispatch, part: Part, result: SendResult) -> None:
        """Nothing to prune: an inbox has no address that could die."""

    async def _deliver(self, items: list[InboxItem]) -> list[SendResult]:
        places: dict[str, int] = {}
        results = await self._store(items, places)
        stored = [item for item, result in zip(items, results, strict=True) if result is _ACCEPTED]
        try:
            if stored:
                await self._broadcast.publish([in_app_message(item, places[item.notification_id]) for item in stored])
        except Unavailable:
            return [_unless(result, "redis") for result in results]
        return results

    async def _store(self, items: list[InboxItem], places: dict[str, int]) -> list[SendResult]:
        """An item that cannot be stored (jsonb refuses a NUL) is found by storing one by one: it fails alone."""
        try:
            places |= await self._inbox.add(items)
        except _NOT_STORABLE:
            if len(items) == 1:
                return [SendResult(outcome=Outcome.PERMANENT, provider=NAME, error="not_storable")]
            return [result for item in items for result in await self._store([item], places)]
        except (Unavailable, ConfigurationError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return [_unless(_ACCEPTED, "postgresql") for _ in items]
        return [_ACCEPTED for _ in items]


def in_app_message(item: InboxItem, place: int) -> bytes:
    """What connected clients get: JSON ``{"recipient_id", "place", "data"}``; `created_at` in ms."""
    data = inbox_data(
        place=place,
        notification_id=item.notification_id,
        event_type=item.event_type,
        title=item.title,
        body=item.body,
        link=item.link,
        data=item.data,
        created_at=item.created_at,
    )
    return _encode({"recipient_id": item.user_id, "place": place, "data": data})


def _unless(result: SendResult, away: str) -> SendResult:
    """Our own servers are waited for, and that costs no try; but what failed for good stays failed."""
    if result is not _ACCEPTED:
        return result
    return SendResult(outcome=Outcome.THROTTLED, provider=NAME, error=f"{away}_unavailable", retry_after=AWAY_WAIT)


def _storable(text: str) -> str:
    """PostgreSQL has no NUL character in text."""
    return text.replace("\x00", "")
