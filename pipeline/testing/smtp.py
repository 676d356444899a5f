"""A simulator of a mail relay, on aiosmtpd."""
# ruff: noqa: ARG002, N802 - aiosmtpd calls its hooks by these names, with these arguments

import asyncio
import logging
import re
import ssl
import warnings
from collections import deque
from types import TracebackType
from typing import Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from pipeline.testing.behaviour import Fault, Script
from pipeline.testing.http_simulator import SILENCE
from pipeline.testing.mail_checks import read_headers
from pipeline.testing.received import Received

MAX_SIZE = 10 * 1024 * 1024
KEPT_MAILS = 100

_ADDRESS = re.compile(r"[^@\s<>]{1,64}@[A-Za-z0-9.-]{1,253}")
_AT_RECIPIENT = {
    Fault.INVALID_RECIPIENT: "550 5.1.1 No such mailbox",
    Fault.CONFIGURATION: "530 5.7.0 Authentication required",
    Fault.THROTTLED: "450 4.7.1 Too many messages, slow down",
}
_AT_CONTENT = {
    Fault.REJECTED: "554 5.7.1 Rejected by policy",
    Fault.UNAVAILABLE: "451 4.3.0 Temporary failure",
}


class SmtpSimulator:
    """A relay on a free local port. Use as an async context manager, or `start` and `close` it."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        keep: int = KEPT_MAILS,
        also: Received | None = None,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        login: tuple[str, str] | None = None,
        pipelining: bool = True,
    ) -> None:
        """`tls` is the server's context: for STARTTLS, or from the start. `login`: user and password it asks for."""
        self.script = script or Script()
        self.received = Received(also=also)
        self.base_url = ""
        self.mails: deque[bytes] = deque(maxlen=keep)
        """The latest `keep` accepted messages, complete."""
        self.connections = 0
        self.pipelining = pipelining
        self.logins = 0
        self._tls = tls
        self._implicit_tls = implicit_tls
        self._login = login
        self._replies: deque[tuple[str, str]] = deque()
        self._server: asyncio.Server | None = None
        self._closing = asyncio.Event()
        self._open: set[SMTP] = set()

    def answer_next(self, *replies: tuple[str, str]) -> None:
        """What the next mails meet: pairs of a command (``MAIL``, ``RCPT``, ``DATA``) and the reply to it."""
        self._replies.extend(replies)

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        tls = self._tls if self._implicit_tls else None
        self._server = await asyncio.get_running_loop().create_server(self._connect, "127.0.0.1", 0, ssl=tls)
        host, port = self._server.sockets[0].getsockname()
        self.base_url = f"{'smtps' if tls else 'smtp'}://{host}:{port}"

    async def close(self) -> None:
        self._closing.set()
        if self._server:
            self._server.close()
        self.drop_connections()
        await asyncio.sleep(0)

    def drop_connections(self) -> None:
        """Close every connection, as a relay does with idle ones."""
        for protocol in list(self._open):
            if protocol.transport:
                protocol.transport.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def forget(self, connection: SMTP) -> None:
        self._open.discard(connection)

    def next_reply(self, command: str) -> str | None:
        """The scripted reply if the next one is for `command`."""
        if self._replies and self._replies[0][0] == command:
            self.received.refuse("scripted")
            return self._replies.popleft()[1]
        return None

    async def take(self, server: SMTP, envelope: Envelope, fault: Fault | None) -> str:
        """The reply to a complete message."""
        content = envelope.original_content or b""
        try:
            headers = read_headers(content)
        except ValueError as error:
            self.received.refuse(f"message: {error}")
            return "554 5.6.0 Message refused"
        if delay := self.script.delay():
            await asyncio.sleep(delay)
        if fault in _AT_CONTENT or fault is Fault.RESET_BEFORE:
            self.received.refuse(fault)
        else:
            self.received.accept(headers["x-notification-id"], envelope.rcpt_tos[0])
            self.mails.append(content)
        if fault in {Fault.NO_ANSWER, Fault.LATE}:
            await self._keep_silent(SILENCE if fault is Fault.NO_ANSWER else self.script.behaviour.late_after)
        elif fault in {Fault.RESET_BEFORE, Fault.RESET_AFTER} and server.transport:
            server.transport.abort()  # type: ignore[attr-defined]  # of asyncio's transports, or uvloop's
        refusal = _AT_CONTENT.get(fault) if fault else None
        return refusal or f"250 2.0.0 Ok: queued as {self.received.accepted:08X}"

    async def _keep_silent(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return

    def _connect(self) -> SMTP:
        self.connections += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # aiosmtpd's, about passwords in the clear: that is the point
            protocol = self._protocol()
        self._open.add(protocol)
        return protocol

    def _protocol(self) -> SMTP:
        return _Server(
            _Handler(self),
            hostname="simulator",
            ident="simulator",
            data_size_limit=MAX_SIZE,
            enable_SMTPUTF8=False,
            tls_context=None if self._implicit_tls else self._tls,
            auth_required=self._login is not None,
            auth_require_tls=self._tls is not None and not self._implicit_tls,
            authenticator=self._authenticate,
        )

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, auth_data: object
    ) -> AuthResult:
        if not isinstance(auth_data, LoginPassword):
            return AuthResult(success=False, handled=False)
        given = (auth_data.login.decode(), auth_data.password.decode())
        self.logins += given == self._login
        return AuthResult(success=given == self._login, handled=False)


class _Server(SMTP):
    """aiosmtpd reads a message line by line, which costs more than everything else; this one takes it whole."""

    line_length_limit = MAX_SIZE

    async def smtp_DATA(self, arg: str) -> None:
        """Read up to the final dot and undo the dot-stuffing."""
        if arg or self.envelope is None or not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 Error: need RCPT command")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        content = await self._reader.readuntil(b"\r\n.\r\n")
        self.envelope.original_content = content[:-3].replace(b"\r\n..", b"\r\n.")
        reply = await self._call_handler_hook("DATA")
        self.envelope = self._create_envelope()
        await self.push(reply)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.event_handler.lost(self)


class _Handler:
    """What aiosmtpd asks at each command of one connection."""

    def __init__(self, simulator: SmtpSimulator) -> None:
        self._simulator = simulator
        self._fault: Fault | None = None

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]] if self._simulator.pipelining else responses

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := self._scripted("MAIL", server):
            return reply
        if not _ADDRESS.fullmatch(address):
            self._simulator.received.refuse("sender address")
            return "501 5.1.7 Bad sender address"
        envelope.mail_from = address
        return "250 2.1.0 Ok"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := self._scripted("RCPT", server):
            return reply
        if not _ADDRESS.fullmatch(address):
            self._simulator.received.refuse("recipient address")
            return "501 5.1.3 Bad recipient address"
        self._fault = self._simulator.script.fault()
        if self._fault in _AT_RECIPIENT:
            self._simulator.received.refuse(self._fault)
            return _AT_RECIPIENT[self._fault]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if reply := self._scripted("DATA", server):
            return reply
        return await self._simulator.take(server, envelope, self._fault)

    def lost(self, server: SMTP) -> None:
        self._simulator.forget(server)

    def _scripted(self, command: str, server: SMTP) -> str | None:
        reply = self._simulator.next_reply(command)
        if reply and reply.startswith("421") and server.transport:
            server.loop.call_later(0.01, server.transport.close)
        return reply
