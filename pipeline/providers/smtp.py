"""A mail relay over SMTP: pooled connections, one mail at a time on each."""

import asyncio
import logging
import socket
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

import aiosmtplib

from pipeline.config import SmtpSettings
from pipeline.errors import ConfigurationError
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.mail import MailMessage
from pipeline.providers.smtp_table import NAME, classify

log = logging.getLogger(__name__)

CLOSING = 421
"""The relay closes the connection after this reply; an idle one may just have been open for too long."""

_START_TLS: dict[str, bool | None] = {"auto": None, "require": True, "never": False}


class Relay(NamedTuple):
    """Where the relay is."""

    host: str
    port: int
    implicit_tls: bool


class Smtp:
    """A client for one relay."""

    name = NAME

    def __init__(self, settings: SmtpSettings, *, timeout: float, tls: ssl.SSLContext | None = None) -> None:
        """`timeout` in seconds, for each reply. `tls` None: the system's trusted authorities.

        Raises:
            ConfigurationError: the relay's address cannot be read.
        """
        self._settings = settings
        self._relay = parse_relay(settings.base_url)
        self._timeout = timeout
        self._tls = tls
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: list[aiosmtplib.SMTP] = []

    async def start(self) -> None:
        """Connections are opened when they are first needed."""

    async def close(self) -> None:
        """Take leave of the relay on every idle connection."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(_quit(connection) for connection in idle))

    async def send(self, mail: MailMessage) -> SendResult:
        """Send one mail. Never raises for what the network or the relay does."""
        async with self._slots:
            while (connection := self._take_idle()) is not None:
                if result := await self._send_on(connection, mail, fresh=False):
                    return result
            return await self._send_on_new(mail)

    async def check(self) -> SendResult:
        """See `pipeline.providers.mail.MailProvider.check`: connects, encrypts, logs in, and leaves."""
        connection = self._open()
        try:
            await connection.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            connection.close()
            return _no_connection(error)
        await _quit(connection)
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME)

    def _take_idle(self) -> aiosmtplib.SMTP | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_connected:
                return connection
        return None

    async def _send_on_new(self, mail: MailMessage) -> SendResult:
        connection = self._open()
        try:
            await connection.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            connection.close()
            return _no_connection(error)
        result = await self._send_on(connection, mail, fresh=True)
        return result or SendResult(outcome=Outcome.TRANSIENT, provider=NAME, error="disconnected")

    def _open(self) -> aiosmtplib.SMTP:
        settings = self._settings
        return aiosmtplib.SMTP(
            hostname=self._relay.host,
            port=self._relay.port,
            use_tls=self._relay.implicit_tls,
            start_tls=False if self._relay.implicit_tls else _START_TLS[settings.starttls],
            username=settings.username or None,
            password=settings.password.get_secret_value() or None,
            local_hostname=socket.gethostname(),
            tls_context=self._tls,
            timeout=self._timeout,
        )

    async def _send_on(self, connection: aiosmtplib.SMTP, mail: MailMessage, *, fresh: bool) -> SendResult | None:
        """One transaction. None: the connection was gone before the mail's content was, so another may be tried."""
        try:
            await connection.mail(mail.sender, encoding="ascii")
            await connection.rcpt(mail.recipient, encoding="ascii")
            return await self._send_content(connection, mail.content)
        except aiosmtplib.SMTPResponseException as refusal:
            if refusal.code == CLOSING and not fresh:
                connection.close()
                return None
            return await self._refused(connection, refusal)
        except (aiosmtplib.SMTPException, OSError):
            connection.close()
            return None
        except asyncio.CancelledError:
            connection.close()
            raise

    async def _send_content(self, connection: aiosmtplib.SMTP, content: bytes) -> SendResult:
        """From DATA on, a lost connection leaves open whether the relay has the mail."""
        try:
            reply = await connection.data(content)
        except aiosmtplib.SMTPResponseException:
            raise  # a reply is no doubt
        except (aiosmtplib.SMTPException, OSError) as error:
            connection.close()
            return SendResult(outcome=Outcome.AMBIGUOUS, provider=NAME, error=type(error).__name__)
        self._idle.append(connection)
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME, message_id=_queue_id(reply.message))

    async def _refused(self, connection: aiosmtplib.SMTP, refusal: aiosmtplib.SMTPResponseException) -> SendResult:
        if refusal.code == CLOSING:
            connection.close()
        else:
            await self._reset(connection)
        return classify(refusal.code, refusal.message)

    async def _reset(self, connection: aiosmtplib.SMTP) -> None:
        try:
            await connection.rset()
        except (aiosmtplib.SMTPException, OSError):
            connection.close()
        else:
            self._idle.append(connection)


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


def _no_connection(error: aiosmtplib.SMTPException | OSError) -> SendResult:
    """The relay cannot be reached, or refuses us, not the mail: no recipient has been named yet."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        result = classify(error.code, error.message)
        if result.outcome in {Outcome.THROTTLED, Outcome.TRANSIENT}:
            return result
        return SendResult(outcome=Outcome.CONFIGURATION, provider=NAME, error=result.error)
    unreachable = isinstance(error, OSError)  # aiosmtplib's disconnections and timeouts are OSErrors too
    outcome = Outcome.TRANSIENT if unreachable else Outcome.CONFIGURATION
    return SendResult(outcome=outcome, provider=NAME, error=type(error).__name__)


def _queue_id(reply: str) -> str:
    """The relay's id of the mail: the last word of ``2.0.0 Ok: queued as 4F2A1``, if it looks like one."""
    word = reply.rpartition(" ")[2]
    return word[:100] if any(c.isdigit() for c in word) and word.isascii() and word.isprintable() else ""


async def _quit(connection: aiosmtplib.SMTP) -> None:
    try:
        await connection.quit(timeout=1)
    except (aiosmtplib.SMTPException, OSError):
        connection.close()
