"""HTTP/2 to APNs: aioapns's protocol, mended.

What aioapns 4.0 does, and each of these is mended here (``tests/integration/providers/test_apns_protocol.py`` shows
both): it never gives flow control back, so that a connection stalls after some hundred error answers; an empty DATA
frame, or an answer split over two, kills the connection; after RST_STREAM, or an error without a body, a send never
returns; nothing bounds the wait for an answer; a send leaves an entry behind; headers of answers are dropped; after
GOAWAY the answers still due are thrown away; a connection that is idle for ten seconds is closed with sends under way.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from collections.abc import Callable

from aioapns.common import NotificationRequest, NotificationResult
from aioapns.connection import APNsBaseClientProtocol, APNsTLSClientProtocol, AuthorizationHeaderProvider
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import NoAvailableStreamIDError, ProtocolError

from pipeline.providers.apns_http2 import (
    AnswerLost,
    ApnsAnswer,
    Headers,
    NotProcessed,
    open_http2,
    request_headers,
)

logger = logging.getLogger(__name__)

MAX_STREAMS = 1000
"""Sends at a time, where APNs does not say: what it usually allows."""
IDLE_SECONDS = 900.0
"""A connection without sends is closed after this: APNs asks to keep connections open, and firewalls forget them."""
MAX_BODY = 65_536


class _Exchange:
    """One request under way. `unsent` is what flow control has held back of its body."""

    __slots__ = ("body", "future", "headers", "unsent")

    def __init__(self, future: "asyncio.Future[ApnsAnswer]", unsent: bytes) -> None:
        self.future = future
        self.headers: dict[bytes, bytes] | None = None
        self.body = b""
        self.unsent = unsent


class ApnsProtocol(APNsTLSClientProtocol):
    """One connection. `ready` is set once the server's settings are known: before, it may allow a single stream."""

    ANSWER_TIMEOUT = 10.0
    """Seconds that an answer may take."""

    def __init__(
        self,
        apns_topic: str,
        loop: asyncio.AbstractEventLoop | None = None,
        on_connection_lost: Callable[[APNsBaseClientProtocol], object] | None = None,
        auth_provider: AuthorizationHeaderProvider | None = None,
    ) -> None:
        super().__init__(apns_topic, loop, on_connection_lost, auth_provider)  # type: ignore[arg-type]  # NoReturn
        self.conn = open_http2()
        self.ready = asyncio.Event()
        self.on_free: Callable[[], object] = lambda: None
        self._exchanges: dict[int, _Exchange] = {}
        self._deadlines: deque[tuple[float, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._flush_due = False
        self._limit = 1
        self._draining = False
        self._handlers: dict[type[Event], Callable[..., None]] = {
            ResponseReceived: self._on_response,
            DataReceived: self._on_data,
            StreamEnded: self._on_end,
            StreamReset: self._on_reset,
            ConnectionTerminated: self._on_goaway,
            RemoteSettingsChanged: self._on_settings,
            WindowUpdated: self._on_window,
        }

    @property
    def is_busy(self) -> bool:
        """Whether it takes no further request now."""
        return self._draining or len(self._exchanges) >= self._limit

    @property
    def room(self) -> int:
        """How many requests it takes now."""
        return 0 if self._draining else max(0, self._limit - len(self._exchanges))

    @property
    def is_draining(self) -> bool:
        """Whether it takes no further request ever."""
        return self._draining

    async def request(self, headers: Headers, body: bytes) -> ApnsAnswer:
        """Send one request and wait for its answer.

        Raises:
            NotProcessed: APNs has certainly not processed it.
            AnswerLost: it may have.
        """
        stream_id = self._open_stream(headers, body)
        exchange = self._exchanges[stream_id]
        try:
            return await exchange.future
        except asyncio.CancelledError:
            self._abandon(stream_id)
            raise

    async def send_notification(self, request: NotificationRequest) -> NotificationResult:
        """As aioapns has it, for its own client: `AnswerLost` and `NotProcessed` instead of waiting for ever."""
        body = json.dumps(request.message, ensure_ascii=False).encode()
        answer = await self.request(self._headers_of(request), body)
        reply = json.loads(answer.body) if answer.body else {}
        return NotificationResult(
            answer.header("apns-id") or request.notification_id,
            str(answer.status),
            description=reply.get("reason"),
            timestamp=reply.get("timestamp"),
        )

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        try:
            events = self.conn.receive_data(data)
        except ProtocolError as error:
            logger.warning("APNs does not speak HTTP/2 as it should: %s", type(error).__name__)
            self._draining = True
            self.flush()
            self.close()
            return
        for event in events:
            if handler := self._handlers.get(type(event)):
                handler(event)
        self.flush()

    def flush(self) -> None:
        """Write what HTTP/2 has to say."""
        self._flush_due = False
        if self.transport is None or self.transport.is_closing():
            return
        if data := self.conn.data_to_send():
            self.transport.write(data)

    def refresh_inactivity_timer(self) -> None:
        """Instead of aioapns's: it looks once in a while, rather than setting a timer at each write."""
        if self._timer is None:
            self._timer = self.loop.call_later(IDLE_SECONDS, self._look_at_clock)

    def close(self) -> None:
        """Close the connection; what is under way ends with `AnswerLost`."""
        self._draining = True
        if self._timer is not None:
            self._timer.cancel()
        if self.transport is not None:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        self._draining = True
        if self._timer is not None:
            self._timer.cancel()
        self.ready.set()
        if self.on_connection_lost:
            self.on_connection_lost(self)
        for stream_id in list(self._exchanges):
            self._fail(stream_id, type(exc).__name__ if exc else "ConnectionClosed")

    def _open_stream(self, headers: Headers, body: bytes) -> int:
        if self._draining:
            raise NotProcessed("ConnectionClosed")
        try:
            stream_id = self.conn.get_next_available_stream_id()
        except NoAvailableStreamIDError:
            self._drain()
            raise NotProcessed("NoStreamLeft") from None
        exchange = _Exchange(self.loop.create_future(), body)
        try:
            self.conn.send_headers(stream_id, headers)
            self._send_body(stream_id, exchange)
        except ProtocolError as error:
            self._drain()
            raise NotProcessed(type(error).__name__) from error
        self._exchanges[stream_id] = exchange
        self._deadlines.append((self.loop.time() + self.ANSWER_TIMEOUT, stream_id))
        self._set_timer()
        if not self._flush_due:  # what comes within one turn of the loop goes out in one write
            self._flush_due = True
            self.loop.call_soon(self.flush)
        return stream_id

    def _send_body(self, stream_id: int, exchange: _Exchange) -> None:
        room = min(self.conn.local_flow_control_window(stream_id), self.conn.max_outbound_frame_size)
        while exchange.unsent and room > 0:
            piece, exchange.unsent = exchange.unsent[:room], exchange.unsent[room:]
            self.conn.send_data(stream_id, piece, end_stream=not exchange.unsent)
            room = self.conn.local_flow_control_window(stream_id) if exchange.unsent else 0

    def _on_response(self, event: ResponseReceived) -> None:
        if (exchange := self._exchanges.get(event.stream_id or 0)) and event.headers:
            exchange.headers = {bytes(name): bytes(value) for name, value in event.headers}

    def _on_data(self, event: DataReceived) -> None:
        stream_id = event.stream_id or 0
        self.conn.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)
        exchange = self._exchanges.get(stream_id)
        if exchange and event.data and len(exchange.body) < MAX_BODY:
            exchange.body += event.data

    def _on_end(self, event: StreamEnded) -> None:
        stream_id = event.stream_id or 0
        if (exchange := self._exchanges.get(stream_id)) is None:
            return
        if exchange.unsent:  # answered before it had all of it
            self._reset(stream_id)
        self._finish(stream_id, exchange)

    def _on_reset(self, event: StreamReset) -> None:
        stream_id = event.stream_id or 0
        exchange = self._exchanges.get(stream_id)
        if exchange is None:
            return
        if event.error_code == ErrorCodes.REFUSED_STREAM:
            self._fail(stream_id, "REFUSED_STREAM", processed=False)
        elif exchange.headers:
            self._finish(stream_id, exchange)
        else:
            self._fail(stream_id, "RST_STREAM")

    def _on_goaway(self, event: ConnectionTerminated) -> None:
        """Streams above the last one were not looked at; the others are still answered."""
        last = event.last_stream_id or 0
        self._draining = True
        for stream_id in [i for i in self._exchanges if i > last]:
            self._fail(stream_id, "GOAWAY", processed=False)
        self._close_if_drained()

    def _on_settings(self, _event: RemoteSettingsChanged) -> None:
        self._limit = min(self.conn.remote_settings.max_concurrent_streams, MAX_STREAMS)
        self.ready.set()
        self._on_window(None)
        self.on_free()

    def _on_window(self, _event: WindowUpdated | None) -> None:
        for stream_id, exchange in list(self._exchanges.items()):
            if exchange.unsent:
                self._send_body(stream_id, exchange)

    def _finish(self, stream_id: int, exchange: _Exchange) -> None:
        self._forget(stream_id)
        headers = exchange.headers or {}
        status = headers.get(b":status", b"")
        if exchange.future.done():
            return
        if status.isdigit():
            exchange.future.set_result(ApnsAnswer(int(status), headers, exchange.body))
        else:
            exchange.future.set_exception(AnswerLost("unreadable_answer"))

    def _fail(self, stream_id: int, error: str, *, processed: bool = True) -> None:
        exchange = self._exchanges[stream_id]
        self._forget(stream_id)
        if not exchange.future.done():
            lost = processed and not exchange.unsent
            exchange.future.set_exception(AnswerLost(error) if lost else NotProcessed(error))

    def _forget(self, stream_id: int) -> None:
        del self._exchanges[stream_id]
        self._close_if_drained()
        self.on_free()

    def _abandon(self, stream_id: int) -> None:
        """Nobody waits for it any more."""
        if stream_id in self._exchanges:
            self._forget(stream_id)
            self._reset(stream_id)

    def _reset(self, stream_id: int) -> None:
        with contextlib.suppress(ProtocolError):  # the stream, or the whole connection, may have ended meanwhile
            self.conn.reset_stream(stream_id, ErrorCodes.CANCEL)
            self.flush()

    def _drain(self) -> None:
        self._draining = True
        self._close_if_drained()

    def _close_if_drained(self) -> None:
        if self._draining and not self._exchanges:
            self.close()

    def _set_timer(self) -> None:
        """It is for the first deadline, or else for idleness; deadlines come in order, as all sends have the same time."""
        if len(self._deadlines) == 1:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_at(self._deadlines[0][0], self._look_at_clock)

    def _look_at_clock(self) -> None:
        now = self.loop.time()
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][1] not in self._exchanges):
            _, stream_id = self._deadlines.popleft()
            if stream_id in self._exchanges:
                self._time_out(stream_id)
        if self._deadlines:
            self._timer = self.loop.call_at(self._deadlines[0][0], self._look_at_clock)
        elif not self._draining:
            self._timer = self.loop.call_later(IDLE_SECONDS, self._drain)

    def _time_out(self, stream_id: int) -> None:
        """A connection that does not answer is not used again: it may be half open."""
        self._draining = True
        exchange = self._exchanges[stream_id]
        self._reset(stream_id)
        if exchange.headers:
            self._finish(stream_id, exchange)
        else:
            self._fail(stream_id, "TimeoutError")

    def _headers_of(self, request: NotificationRequest) -> Headers:
        optional = {
            "apns-expiration": None if request.time_to_live is None else str(int(time.time()) + request.time_to_live),
            "apns-priority": None if request.priority is None else str(request.priority),
            "apns-collapse-id": request.collapse_key,
            "apns-push-type": request.push_type.value if request.push_type else None,
            "authorization": self.auth_provider.get_header() if self.auth_provider else None,
        }
        required = {"apns-id": request.notification_id, "apns-topic": request.apns_topic or self.apns_topic}
        others = required | {name: value for name, value in optional.items() if value is not None}
        return request_headers(self.APNS_SERVER, request.device_token, others)
