"""``/socket.io``: Socket.IO 4, by python-socketio."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
import socketio
from aiohttp import web
from engineio.exceptions import EngineIOError
from socketio.exceptions import ConnectionRefusedError as SocketRefused

from pipeline.config import RealtimeSettings
from pipeline.errors import Unavailable
from pipeline.events.canonical import Problem
from pipeline.gateway.problems import Refused, bad_request, unavailable
from pipeline.realtime.door import Door, read_cursor, token_of
from pipeline.realtime.feed import Ended, Feed, Why
from pipeline.realtime.hub import Hub
from pipeline.realtime.messages import Frame
from pipeline.realtime.stream import ready
from pipeline.storage.inbox_feed import Head

PATH = "/socket.io/"
MOST_FROM_CLIENT = 16_384
"""Bytes of one message from a client: a token and a cursor fit, and nothing else is expected."""

AHEAD = 64
"""Events handed to the library that the client's connection has not taken over yet."""

JANITOR_EVERY = 5.0
FAREWELL = 1.0
"""Seconds that a client has to take in that it is sent away."""

_quiet = logging.getLogger("pipeline.realtime.protocol")
_quiet.setLevel(logging.CRITICAL)  # the library logs contents, and as errors of ours what clients send wrongly


@dataclass(eq=False)
class Client:
    """One Socket.IO connection. `greeting` goes out first. `task` carries frames while there are any."""

    sid: str
    engine_sid: str
    feed: Feed
    greeting: Frame | None
    task: asyncio.Task[None] | None = None


class Sockets:
    """Serves Socket.IO. A client's `auth` has ``token``, and when it comes back ``after``."""

    def __init__(self, hub: Hub, door: Door, settings: RealtimeSettings) -> None:
        self._hub = hub
        self._door = door
        self._settings = settings
        self._clients: dict[str, Client] = {}
        self._wires: dict[str, asyncio.Transport] = {}
        self._strangers: set[str] = set()
        self._server: Any = socketio.AsyncServer(
            async_mode="aiohttp",
            cors_allowed_origins=[],  # the door has looked already
            ping_interval=settings.heartbeat,
            ping_timeout=settings.heartbeat_timeout,
            max_http_buffer_size=MOST_FROM_CLIENT,
            http_compression=False,
            logger=_quiet,
            engineio_logger=_quiet,
        )
        self._server.on("connect", self._connect)
        self._server.on("disconnect", self._disconnect)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """A request of Engine.IO's.

        Raises:
            Refused: 503, there are too many connections, or this instance is being stopped; the client tries again.
        """
        engine = self._server.eio
        engine_sid = request.query.get("sid")
        if engine_sid is None:
            self._hub.check_room(len(engine.sockets))
        if "Upgrade" in request.headers:
            if engine_sid in engine.sockets and isinstance(request.transport, asyncio.Transport):
                self._wires[str(engine_sid)] = request.transport
            request = _without_compression(request)
        try:
            answer: web.StreamResponse = await self._server.handle_request(request)
        except Exception as error:  # noqa: BLE001 - the library lets pass what some broken packets do to it
            _quiet.debug("a client sent what cannot be read: %s", type(error).__name__)
            return await self._hang_up(request)
        return answer

    async def _hang_up(self, request: web.Request) -> web.StreamResponse:
        for engine_sid in [sid for sid, wire in self._wires.items() if wire is request.transport]:
            await self._close(engine_sid)
        raise bad_request([Problem("", "is not Engine.IO")])

    async def keep_clean(self) -> None:
        """Send away who connected and does not say who they are; let go of who left unnoticed. Until cancelled."""
        while True:
            await asyncio.sleep(JANITOR_EVERY)
            sockets = self._server.eio.sockets
            for client in [c for c in self._clients.values() if c.engine_sid not in sockets]:
                self._forget(client)
            known = {client.engine_sid for client in self._clients.values()}
            unknown = set(sockets) - known
            for engine_sid in unknown & self._strangers:
                await self._close(engine_sid)
            self._strangers = unknown
            self._wires = {sid: wire for sid, wire in self._wires.items() if sid in sockets}

    async def settle(self) -> None:
        """Wait until those who were sent away are gone."""
        tasks = [client.task for client in self._clients.values() if client.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(self._close(engine_sid) for engine_sid in list(self._server.eio.sockets)))
        await self._server.shutdown()

    async def _connect(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        request: web.Request = environ["aiohttp.request"]
        given = auth if isinstance(auth, dict) else {}
        token = given.get("token")
        try:
            caller = await self._door.caller(token if isinstance(token, str) else token_of(request), "socketio")
            after = read_cursor(given.get("after"))
            feed = self._hub.join(caller)
        except Refused as refused:
            raise await self._refusal(sid, refused) from None
        except Unavailable:
            raise await self._refusal(sid, unavailable("A server that this needs is away.")) from None
        try:
            head = await feed.begin(after)
        except BaseException:
            self._hub.leave(feed)
            raise
        self._welcome(sid, request, feed, head)

    async def _refusal(self, sid: str, refused: Refused) -> SocketRefused:
        """To be raised. Who is refused for now is cut off first: by themselves they try again then, and only then."""
        if refused.status == HTTPStatus.SERVICE_UNAVAILABLE:
            await self._close(self._server.manager.eio_sid_from_sid(sid, "/"))
        return SocketRefused(refused.detail, {"status": refused.status, **refused.headers})

    def _welcome(self, sid: str, request: web.Request, feed: Feed, head: Head | None) -> None:
        """Runs before the client is told that it is connected; what it starts runs after that."""
        engine_sid: str = self._server.manager.eio_sid_from_sid(sid, "/")
        if "Upgrade" in request.headers and isinstance(request.transport, asyncio.Transport):
            self._wires.setdefault(engine_sid, request.transport)
        greeting = Frame("ready", msgspec.json.encode(ready(feed, head)).decode())
        client = self._clients[sid] = Client(sid, engine_sid, feed, greeting)
        feed.wake = lambda: self._carry(client)
        self._carry(client)

    async def _disconnect(self, sid: str, _reason: str = "") -> None:
        if (client := self._clients.get(sid)) is not None:
            self._forget(client)

    def _forget(self, client: Client) -> None:
        self._clients.pop(client.sid, None)
        self._wires.pop(client.engine_sid, None)
        client.feed.wake = _nothing
        self._hub.leave(client.feed)
        if (socket := self._server.eio.sockets.get(client.engine_sid)) is not None:
            _let_go(socket)

    def _carry(self, client: Client) -> None:
        if client.task is None or client.task.done():
            client.task = asyncio.get_running_loop().create_task(self._pump(client))

    async def _pump(self, client: Client) -> None:
        """Carry what there is, no faster than the client takes it in."""
        try:
            if client.greeting is not None:
                greeting, client.greeting = client.greeting, None
                await self._send(client, [greeting])
            while frames := await client.feed.take():
                for start in range(0, len(frames), AHEAD):
                    await self._send(client, frames[start : start + AHEAD])
        except Ended as ended:
            await self._end(client, ended.why)
        except (EngineIOError, ConnectionError):
            self._forget(client)

    async def _send(self, client: Client, frames: Sequence[Frame]) -> None:
        engine = self._server.eio
        for frame in frames:
            await engine.send(client.engine_sid, f'2["{frame.event}",{frame.data}]')  # an EVENT packet
        socket = engine.sockets.get(client.engine_sid)
        if socket is not None and socket.queue.qsize() >= AHEAD:
            try:
                async with asyncio.timeout(self._settings.send_timeout):
                    await socket.queue.join()
            except TimeoutError:
                raise Ended(Why.SLOW) from None

    async def _end(self, client: Client, why: Why) -> None:
        self._hub.count_end(why)
        if why is Why.SLOW and (wire := self._wires.get(client.engine_sid)):
            wire.abort()
        await self._close(client.engine_sid)
        self._forget(client)

    async def _close(self, engine_sid: str) -> None:
        """Close the connection, not the namespace: who is disconnected from that does not come back by themselves."""
        engine = self._server.eio
        wire, socket = self._wires.pop(engine_sid, None), engine.sockets.get(engine_sid)
        with contextlib.suppress(TimeoutError, EngineIOError):
            async with asyncio.timeout(FAREWELL):
                await engine.disconnect(engine_sid)
        if socket is not None:
            _let_go(socket)
        if wire is not None:
            wire.close()


def _let_go(socket: Any) -> None:
    """End the poll, or the writer, that waits for more."""
    socket.queue.put_nowait(None)


def _without_compression(request: web.Request) -> web.Request:
    """What compression keeps for each connection is more than all else, and notifications are short."""
    headers = request.headers.copy()
    headers.popall("Sec-WebSocket-Extensions", None)
    return request.clone(headers=headers)


def _nothing() -> None:
    pass
