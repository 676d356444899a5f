"""A mail relay over SMTP: pooled connections, one mail at a time on each."""

import asyncio
import socket
import ssl
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import aiosmtplib

from pipeline.config import SmtpSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.providers.mail import MailMessage
from pipeline.providers.smtp_session import Gone, Refusal, Reply, Session
from pipeline.providers.smtp_table import NAME, classify

CLOSING = 421
"""The relay closes the connection after this reply; an idle one may just have been open for too long."""

NO_CONNECTION = "no_free_connection"
"""All connections are taken for as long as a send may take: the relay is slower than what is sent to it."""

_START_TLS: dict[str, bool | None] = {"auto": None, "require": True, "never": False}


class Relay(NamedTuple):
    """Where the relay is."""

    host: str
    port: int
    implicit_tls: bool


@dataclass(slots=True)
class _Try:
    """How far a send has come when its time is up."""

    sessions: list[Session] = field(default_factory=list)
    got_slot: bool = False

    def timed_out(self) -> SendResult:
        if not self.got_slot:
            return SendResult(outcome=Outcome.THROTTLED, provider=NAME, error=NO_CONNECTION)
        doubt = bool(self.sessions) and self.sessions[-1].content_sent
        outcome = Outcome.AMBIGUOUS if doubt else Outcome.TRANSIENT
        scope = Scope.UNKNOWN if self.sessions else Scope.ACCOUNT  # it did not even come to a connection
        return SendResult(outcome=outcome, provider=NAME, error="TimeoutError", scope=scope)


class Smtp:
    """A client for one relay."""

    name = NAME

    def __init__(self, settings: SmtpSettings, *, timeout: float, tls: ssl.SSLContext | None = None) -> None:
        """`timeout` in seconds, for a whole send with all its waiting. `tls` None: by the settings.

        Raises:
            ConfigurationError: the relay's address or the authority's certificate cannot be read.
        """
        self._settings = settings
        self._relay = parse_relay(settings.base_url)
        self._timeout = timeout
        self._tls = tls or _context(settings)
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: list[Session] = []

    async def start(self) -> None:
        """Connections are opened when they are first needed."""

    async def close(self) -> None:
        """Take leave of the relay on every idle connection."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(session.quit() for session in idle))

    async def send(self, mail: MailMessage) -> SendResult:
        """See `pipeline.providers.mail.MailProvider.send`; answers within the timeout."""
        current = _Try()
        try:
            async with asyncio.timeout(self._timeout):
                async with self._slots:
                    current.got_slot = True
                    return await self._send(mail, current)
        except TimeoutError:
            return current.timed_out()

    async def check(self) -> SendResult:
        """See `pipeline.providers.mail.MailProvider.check`: connects, encrypts, logs in, and leaves."""
        try:
            async with asyncio.timeout(self._timeout):
                session = await self._open()
        except TimeoutError as error:
            return SendResult(outcome=Outcome.TRANSIENT, provider=NAME, error=type(error).__name__)
        except _NotOpened as error:
            return error.result
        await session.quit()
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME)

    async def _send(self, mail: MailMessage, current: _Try) -> SendResult:
        while (session := self._take_idle()) is not None:
            current.sessions.append(session)
            if result := await self._send_on(session, mail, fresh=False):
                return result
        try:
            session = await self._open()
        except _NotOpened as error:
            return error.result
        current.sessions.append(session)
        result = await self._send_on(session, mail, fresh=True)
        return result or SendResult(outcome=Outcome.TRANSIENT, provider=NAME, error="disconnected")

    def _take_idle(self) -> Session | None:
        while self._idle:
            session = self._idle.pop()
            if session.usable:
                return session
        return None

    async def _open(self) -> Session:
        connection = self._connection()
        try:
            await connection.connect()
            await _greet(connection)
        except (aiosmtplib.SMTPException, OSError) as error:
            connection.close()
            raise _NotOpened(_no_connection(error)) from error
        except BaseException:
            connection.close()
            raise
        return Session(connection)

    def _connection(self) -> aiosmtplib.SMTP:
        settings = self._settings
        start_tls = _START_TLS[settings.starttls]
        if start_tls is None and settings.username:
            start_tls = True  # whoever takes STARTTLS out of the relay's greeting shall not get the password
        return aiosmtplib.SMTP(
            hostname=self._relay.host,
            port=self._relay.port,
            use_tls=self._relay.implicit_tls,
            start_tls=False if self._relay.implicit_tls else start_tls,
            username=settings.username or None,
            password=settings.password.get_secret_value() or None,
            local_hostname=socket.gethostname(),
            tls_context=self._tls,
            timeout=self._timeout,
        )

    async def _send_on(self, session: Session, mail: MailMessage, *, fresh: bool) -> SendResult | None:
        """One transaction. None: the connection was gone before the mail's content was, so another may be tried."""
        try:
            reply = await session.send(mail)
        except Refusal as refusal:
            if refusal.reply.code == CLOSING and not fresh and not session.content_sent:
                session.close()
                return None
            return await self._refused(session, refusal.reply)
        except Gone:
            session.close()
            if session.content_sent:
                return SendResult(outcome=Outcome.AMBIGUOUS, provider=NAME, error="disconnected")
            return None
        except ValueError:
            self._idle.append(session)
            return SendResult(outcome=Outcome.PERMANENT, provider=NAME, error="address")
        self._idle.append(session)
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME, message_id=_queue_id(reply.text))

    async def _refused(self, session: Session, reply: Reply) -> SendResult:
        try:
            if reply.code == CLOSING:
                raise Gone
            await session.reset()
        except Gone:
            session.close()
        else:
            self._idle.append(session)
        return classify(reply.code, reply.text)


class _NotOpened(Exception):
    def __init__(self, result: SendResult) -> None:
        super().__init__(result.error)
        self.result = result


def parse_relay(url: str) -> Relay:
    """``smtp://host[:25]`` or ``smtps://host[:465]``.

    Raises:
        ConfigurationError: it is neither.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ConfigurationError(f"providers.smtp.base_url {url!r}: write smtp://host:port or smtps://host:port")
    implicit = parts.scheme == "smtps"
    return Relay(parts.hostname, port or (465 if implicit else 25), implicit)


def _context(settings: SmtpSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"providers.smtp.ca_file {str(settings.ca_file)!r} cannot be read: {error}") from None


async def _greet(connection: aiosmtplib.SMTP) -> None:
    """Say EHLO, again after STARTTLS: what is offered holds for the connection as it is now (RFC 3207, section 4.2)."""
    if not connection.is_ehlo_or_helo_needed:
        return
    try:
        await connection.ehlo()
    except aiosmtplib.SMTPHeloError:
        await connection.helo()


def _no_connection(error: aiosmtplib.SMTPException | OSError) -> SendResult:
    """The relay cannot be reached, or refuses us, not the mail: no recipient has been named yet."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        result = classify(error.code, error.message)
        if result.outcome in {Outcome.THROTTLED, Outcome.TRANSIENT}:
            return result
        return SendResult(outcome=Outcome.CONFIGURATION, provider=NAME, error=result.error, scope=Scope.ACCOUNT)
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return SendResult(outcome=Outcome.CONFIGURATION, provider=NAME, error="certificate", scope=Scope.ACCOUNT)
    unreachable = isinstance(error, OSError)  # aiosmtplib's disconnections and timeouts are OSErrors too
    outcome = Outcome.TRANSIENT if unreachable else Outcome.CONFIGURATION
    return SendResult(outcome=outcome, provider=NAME, error=type(error).__name__, scope=Scope.ACCOUNT)


def _queue_id(reply: str) -> str:
    """The relay's id of the mail: the last word of ``2.0.0 Ok: queued as 4F2A1``, if it looks like one."""
    word = reply.rpartition(" ")[2]
    return word[:100] if any(c.isdigit() for c in word) and word.isascii() and word.isprintable() else ""
