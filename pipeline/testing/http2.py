"""A small HTTP/2 server whose every frame can be chosen: what the simulator of APNs, and tests of its client, rest on."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset, WindowUpdated
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

MAX_BODY = 1 << 20


class Http2Request:
    """One request, complete, and the ways to answer it."""

    def __init__(self, connection: "Http2Connection", stream_id: int, headers: Sequence[tuple[str, str]]) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.all_headers = headers
        self.headers = dict(headers)
        self.body = b""

    def answer(
        self, status: int, headers: Mapping[str, str] | None = None, pieces: Sequence[bytes] = (), *, end: bool = True
    ) -> None:
        """HEADERS, then one DATA frame for each of `pieces` (an empty one too), the last of which ends the stream.

        Without pieces the HEADERS end it. `end` False: nothing ends it.
        """
        fields = [(":status", str(status)), *(headers or {}).items()]
        self.connection.send_headers(self.stream_id, fields, end=end and not pieces)
        for number, piece in enumerate(pieces, 1):
            self.connection.send_data(self.stream_id, piece, end=end and number == len(pieces))

    def reset(self, code: ErrorCodes = ErrorCodes.INTERNAL_ERROR) -> None:
        """RST_STREAM."""
        self.connection.reset(self.stream_id, code)


Handle = Callable[[Http2Request], Awaitable[None]]


class Http2Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, handle: Handle, settings: Mapping[int, int], *, grants: bool) -> None:
        self.requests = 0
        self._grants = grants
        self._handle = handle
        self._settings = settings
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._requests: dict[int, Http2Request] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[tuple[int, bytes, bool]] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._h2.local_settings = Settings(
            client=False, initial_values={SettingCodes(k): v for k, v in self._settings.items()}
        )
        self._h2.initiate_connection()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as the port has it
        """Called by the transport."""
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        try:
            events = self._h2.receive_data(data)
        except ProtocolError:
            self._flush()
            self.abort()
            return
        for event in events:
            match event:
                case RequestReceived():
                    fields = cast("list[tuple[str, str]]", event.headers)  # by `header_encoding`
                    self._requests[event.stream_id] = Http2Request(self, event.stream_id, fields)
                case DataReceived():
                    self._take(event)
                case StreamEnded():
                    self._start(self._requests.pop(event.stream_id))
                case StreamReset():
                    self._requests.pop(event.stream_id, None)
                case WindowUpdated():
                    self._send_held()
                case _:
                    pass
        self._flush()

    def send_headers(self, stream_id: int, fields: Sequence[tuple[str, str]], *, end: bool) -> None:
        """One HEADERS frame; nothing where the client has gone."""
        try:
            self._h2.send_headers(stream_id, list(fields), end_stream=end)
        except ProtocolError:
            return
        self._flush()

    def send_data(self, stream_id: int, piece: bytes, *, end: bool) -> None:
        """One DATA frame, once flow control allows it."""
        self._held.append((stream_id, piece, end))
        self._send_held()
        self._flush()

    def reset(self, stream_id: int, code: ErrorCodes) -> None:
        """RST_STREAM."""
        try:
            self._h2.reset_stream(stream_id, code)
        except ProtocolError:
            return
        self._flush()

    def go_away(self, last_stream_id: int, debug: bytes = b"") -> None:
        """GOAWAY; streams up to `last_stream_id` can still be answered."""
        before = self._h2.state_machine.state
        self._h2.close_connection(ErrorCodes.NO_ERROR, debug, last_stream_id)
        self._flush()
        self._h2.state_machine.state = before  # h2 takes it for the end

    def update_settings(self, settings: Mapping[int, int]) -> None:
        """SETTINGS."""
        self._h2.update_settings(dict(settings))
        self._flush()

    def write_raw(self, data: bytes) -> None:
        """Bytes that need not be HTTP/2."""
        if self._transport:
            self._transport.write(data)

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport:
            self._transport.abort()

    def _take(self, event: DataReceived) -> None:
        if self._grants:
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        request = self._requests.get(event.stream_id)
        if request and len(request.body) < MAX_BODY:
            request.body += event.data

    def _start(self, request: Http2Request) -> None:
        self.requests += 1
        task = asyncio.ensure_future(self._handle(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _send_held(self) -> None:
        while self._held:
            stream_id, piece, end = self._held[0]
            try:
                if len(piece) > self._h2.local_flow_control_window(stream_id):
                    return
                self._h2.send_data(stream_id, piece, end_stream=end)
            except ProtocolError:
                pass  # the client has gone, or given this stream up
            self._held.pop(0)

    def _flush(self) -> None:
        if self._transport and (data := self._h2.data_to_send()):
            self._transport.write(data)


class Http2Server:
    """On a free port of 127.0.0.1; `tls` None: without TLS. Use as an async context manager.

    `grants` False: it never gives flow control back, so that a client may send as much as the settings allow.
    """

    def __init__(
        self,
        handle: Handle,
        tls: ssl.SSLContext | None,
        settings: Mapping[int, int] | None = None,
        *,
        grants: bool = True,
    ) -> None:
        self._grants = grants
        self.port = 0
        self.connections: list[Http2Connection] = []
        self._handle = handle
        self._tls = tls
        self._settings = {SettingCodes.MAX_CONCURRENT_STREAMS: 1000} | dict(settings or {})
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server:
            self._server.close()
        for connection in self.connections:
            connection.abort()

    def _connection(self) -> Http2Connection:
        connection = Http2Connection(self._handle, self._settings, grants=self._grants)
        self.connections.append(connection)
        return connection
