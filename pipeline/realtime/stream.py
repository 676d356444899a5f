"""``GET /v1/stream``: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
from collections.abc import Iterable

import msgspec
from aiohttp import web

from pipeline.config import RealtimeSettings
from pipeline.realtime.door import Door, read_cursor, token_of
from pipeline.realtime.feed import Doorbell, Ended, Feed, Why
from pipeline.realtime.hub import Hub
from pipeline.realtime.messages import Frame
from pipeline.storage.inbox_feed import Head

HEARTBEAT = b": \n\n"
"""A comment: keeps proxies from closing an idle connection, and finds out whether anybody is there."""

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Streams:
    """Serves streams of events."""

    def __init__(self, hub: Hub, door: Door, settings: RealtimeSettings) -> None:
        self._hub = hub
        self._door = door
        self._settings = settings

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """A stream; ``Last-Event-ID`` (or ``after`` in the query) says where the client stands.

        Raises:
            Refused: 400, 401, 429, 503.
        """
        if self._hub.draining and request.transport:
            request.transport.abort()  # an EventSource gives up for good at any answer, and tries again without one
        caller = await self._door.caller(token_of(request), "sse")
        after = read_cursor(request.headers.get("Last-Event-ID") or request.query.get("after"))
        with self._hub.joined(caller) as feed:
            bell = Doorbell(feed)
            head = await feed.begin(after)
            response = web.StreamResponse(headers=HEADERS)
            await response.prepare(request)
            try:
                await self._serve(response, feed, bell, head)
            except Ended as ended:
                await self._say_goodbye(request, response, ended)
            except ConnectionError:
                pass  # the client has gone
            return response

    async def _serve(self, response: web.StreamResponse, feed: Feed, bell: Doorbell, head: Head | None) -> None:
        await self._write(response, greeting(feed, head))
        while True:
            if frames := await feed.take():
                await self._write(response, encode(frames))
            elif not await bell.wait(self._settings.heartbeat):
                await self._write(response, HEARTBEAT)

    async def _write(self, response: web.StreamResponse, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._settings.send_timeout):
                await response.write(data)
        except TimeoutError:
            raise Ended(Why.SLOW) from None

    async def _say_goodbye(self, request: web.Request, response: web.StreamResponse, ended: Ended) -> None:
        self._hub.count_end(ended.why)
        if ended.why is Why.SLOW:
            if request.transport:
                request.transport.abort()
            return
        try:
            await self._write(response, b"retry: %d\n\n" % (1000 * ended.retry))
        except (Ended, ConnectionError):
            if request.transport:
                request.transport.abort()


def greeting(feed: Feed, head: Head | None) -> bytes:
    """The event ``ready``: with its id a client that was told nothing yet can come back without a gap."""
    data = msgspec.json.encode(ready(feed, head)).decode()
    return encode([Frame("ready", data, feed.track.last)])


def ready(feed: Feed, head: Head | None) -> dict[str, object]:
    """Where the client stands, and how much is unread; null: it is not known now."""
    return {"cursor": feed.cursor, "unread": None if head is None else head.unread}


def encode(frames: Iterable[Frame]) -> bytes:
    """Frames as they go over the wire."""
    return "".join(map(_encode_one, frames)).encode()


def _encode_one(frame: Frame) -> str:
    id_ = "" if frame.place is None else f"id: {frame.place}\n"
    return f"{id_}event: {frame.event}\ndata: {frame.data}\n\n"
