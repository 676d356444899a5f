"""A few connections to one APNs server, opened when they are needed.

aioapns's own pool repeats whatever a lost connection had under way, up to five times and whether it was delivered or
not; waits a second after each failure; and says nothing of why. Here only what was certainly not processed is repeated.
"""

import asyncio
import contextlib
import ssl
from collections import deque

from aioapns.connection import APNsBaseClientProtocol
from yarl import URL

from pipeline.providers.apns_http2 import ApnsAnswer, Headers, NotProcessed
from pipeline.providers.apns_protocol import ApnsProtocol
from pipeline.providers.http import CONNECT_TIMEOUT

TRIES = 3
"""How often a request is put to APNs that has certainly not processed it."""


class Unreachable(Exception):
    """There is no connection to send on, so nothing was sent. `certificate`: the server's was refused."""

    def __init__(self, error: str, *, certificate: bool = False) -> None:
        super().__init__(error)
        self.error = error
        self.certificate = certificate


class ApnsPool:
    """`size` connections to `url` (https; http speaks HTTP/2 without TLS). `timeout` in seconds, for each answer."""

    def __init__(self, url: URL, tls: ssl.SSLContext, *, size: int, timeout: float) -> None:
        assert url.host
        assert url.port
        self._host, self._port = url.host, url.port
        self._tls = tls if url.scheme == "https" else None
        self._size = size
        self._timeout = timeout
        self._connections: list[ApnsProtocol] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._opening: asyncio.Task[None] | None = None

    async def request(self, headers: Headers, body: bytes) -> ApnsAnswer:
        """Send one request.

        Raises:
            Unreachable: no connection could be had.
            NotProcessed: APNs has certainly not processed it, each time it was asked.
            AnswerLost: it may have processed it.
        """
        for _ in range(TRIES - 1):
            try:
                return await (await self._acquire()).request(headers, body)
            except NotProcessed:
                continue
        return await (await self._acquire()).request(headers, body)

    async def close(self) -> None:
        """Close all connections."""
        if self._opening:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        for connection in list(self._connections):
            connection.close()

    async def connect(self) -> None:
        """See that there is a connection.

        Raises:
            Unreachable: there is none.
        """
        await self._acquire()

    async def _acquire(self) -> ApnsProtocol:
        deadline = asyncio.get_running_loop().time() + self._timeout
        while (free := self._free()) is None:
            if sum(not c.is_draining for c in self._connections) < self._size:
                await self._open()
            else:
                await self._wait(deadline)
        return free

    def _free(self) -> ApnsProtocol | None:
        return next((connection for connection in self._connections if not connection.is_busy), None)

    async def _open(self) -> None:
        """One at a time: whoever else needs one waits for the same."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._connect())
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._opening)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                connection = await self._handshake()
        except ssl.SSLCertVerificationError as error:
            raise Unreachable("CertificateRefused", certificate=True) from error
        except OSError as error:  # a TimeoutError too
            raise Unreachable(type(error).__name__) from error
        connection.on_free = self._wake
        self._connections.append(connection)
        self._wake()

    async def _handshake(self) -> ApnsProtocol:
        loop = asyncio.get_running_loop()
        transport, connection = await loop.create_connection(self._protocol, self._host, self._port, ssl=self._tls)
        try:
            tls = transport.get_extra_info("ssl_object")
            if tls is not None and tls.selected_alpn_protocol() != "h2":
                raise Unreachable("NoHttp2")
            await connection.ready.wait()
            if connection.is_draining:
                raise Unreachable("ConnectionClosed")
        except BaseException:
            transport.abort()
            raise
        return connection

    def _protocol(self) -> ApnsProtocol:
        connection = ApnsProtocol("", on_connection_lost=self._discard)
        connection.ANSWER_TIMEOUT = self._timeout
        return connection

    def _discard(self, connection: APNsBaseClientProtocol) -> None:
        if isinstance(connection, ApnsProtocol) and connection in self._connections:
            self._connections.remove(connection)
        self._wake(len(self._waiting))

    async def _wait(self, deadline: float) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except TimeoutError:
            raise Unreachable("Busy") from None
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(turn)

    def _wake(self, turns: int | None = None) -> None:
        """Let as many go on as there is room for; each looks again for itself."""
        if not self._waiting:
            return
        for _ in range(turns or sum(connection.room for connection in self._connections)):
            if not self._waiting:
                return
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)


def tls_context(certificates: str | None) -> ssl.SSLContext:
    """Verifies the server's certificate and offers HTTP/2, which aioapns's own context forgets to.

    Raises:
        OSError: `certificates` cannot be read, or holds none.
    """
    context = ssl.create_default_context(cafile=certificates)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    return context
