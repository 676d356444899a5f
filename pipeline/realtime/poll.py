"""``GET /v1/poll``: long polling, for clients that can do nothing else."""

import asyncio
import math
from collections.abc import Sequence

import msgspec
from aiohttp import web

from pipeline.config import RealtimeSettings
from pipeline.events.canonical import Problem
from pipeline.gateway.problems import bad_request
from pipeline.realtime.door import Door, read_cursor, token_of
from pipeline.realtime.feed import Doorbell, Ended, Feed
from pipeline.realtime.hub import Hub
from pipeline.realtime.messages import Frame


class Polled(msgspec.Struct, frozen=True, kw_only=True):
    """What came. `cursor` is the next call's `after`; null: it is not known, call again without. `read`: see the docs."""

    notifications: list[msgspec.Raw]
    read: list[msgspec.Raw]
    cursor: str | None


class Polls:
    """Serves long polls."""

    def __init__(self, hub: Hub, door: Door, settings: RealtimeSettings) -> None:
        self._hub = hub
        self._door = door
        self._settings = settings

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """What came after ``after``, as soon as there is something; without it, what comes from now on.

        ``timeout`` in seconds: nothing has come by then, so the lists are empty.

        Raises:
            Refused: 400, 401, 429, 503.
        """
        caller = await self._door.caller(token_of(request), "poll")
        after = read_cursor(request.query.get("after"))
        seconds = self._seconds(request.query.get("timeout"))
        with self._hub.joined(caller) as feed:
            bell = Doorbell(feed)
            await feed.begin(after)
            try:
                frames = await _first(feed, bell, seconds)
            except Ended as ended:
                self._hub.count_end(ended.why)
                frames = []
            return _answer(frames, feed.cursor)

    def _seconds(self, text: str | None) -> float:
        if not text:
            return self._settings.poll_timeout
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds <= self._settings.poll_timeout:
            raise bad_request([Problem("/timeout", f"is not from 0 to {self._settings.poll_timeout:g} seconds")])
        return seconds


async def _first(feed: Feed, bell: Doorbell, seconds: float) -> list[Frame]:
    """The first frames there are; none when the time is up. What was read when it was up is not lost."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        if frames := await feed.take():
            return frames
        if (left := deadline - loop.time()) <= 0:
            return []
        await bell.wait(left)


def _answer(frames: Sequence[Frame], cursor: str | None) -> web.Response:
    def of(event: str) -> list[msgspec.Raw]:
        return [msgspec.Raw(frame.data.encode()) for frame in frames if frame.event == event]

    body = Polled(notifications=of("notification"), read=of("read"), cursor=cursor)
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
