"""One connection to a relay once it is open: mail after mail, commands sent together where the relay allows it.

aiosmtplib opens it (greeting, EHLO, STARTTLS, AUTH) and waits for the reply to each command. A mail that waits three
times less leaves a quarter of the cost, see ``docs/decisions/0044-aiosmtplib-opens-we-pipeline.md``.
"""

import asyncio
import re
from typing import NamedTuple, cast

import aiosmtplib

from pipeline.providers.mail import MailMessage

MAX_REPLY = 64 * 1024
"""Bytes of replies that are not read yet; a relay that sends more is none."""

MAX_LINES = 100
"""Lines of one reply."""

_UNSAFE = re.compile(rb"[\x00-\x20\x7f<>]")
_INTERMEDIATE, _OK = 3, 2
_CLOSING = 421


class Reply(NamedTuple):
    """A reply; the lines of a longer one are joined."""

    code: int
    text: str

    @property
    def accepted(self) -> bool:
        return self.code // 100 == _OK


class Gone(Exception):
    """The connection is lost, or what answers is no relay."""


class Refusal(Exception):
    """The relay refuses the mail."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.code)
        self.reply = reply


class Session(asyncio.Protocol):
    """Takes over a connection that aiosmtplib has opened. One mail at a time; not to be shared."""

    def __init__(self, opened: aiosmtplib.SMTP) -> None:
        """`opened` is connected, encrypted and logged in, and used by nobody else from now on."""
        self.content_sent = False
        """From here on nobody knows whether the relay has the mail, until it replies."""
        self._pipelining = opened.supports_extension("pipelining")
        self._size = opened.supports_extension("size")
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._lines: list[str] = []
        self._replies: list[Reply] = []
        self._expected = 0
        self._answered: asyncio.Future[None] | None = None
        self._transport = cast("asyncio.Transport", opened.transport)
        self._transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        return not self._transport.is_closing()

    async def send(self, mail: MailMessage) -> Reply:
        """Hand over one mail; the reply that accepts it.

        Raises:
            Refusal: the relay does not take it. `reset` comes before the next mail, unless the relay closes.
            Gone: the connection is lost; `content_sent` says whether that leaves a doubt.
        """
        self.content_sent = False
        await self._envelope(mail)
        self.content_sent = True
        content = mail.content
        if b"\r\n." in content:
            content = content.replace(b"\r\n.", b"\r\n..")
        reply = (await self._ask([content, b".\r\n"], expected=1))[0]
        if not reply.accepted:
            raise Refusal(reply)
        return reply

    async def reset(self) -> None:
        """Forget the mail that was refused.

        Raises:
            Gone: the connection is lost.
        """
        if not (await self._ask([b"RSET\r\n"]))[0].accepted:
            raise Gone

    async def quit(self) -> None:
        """Take leave."""
        try:
            async with asyncio.timeout(1):
                await self._ask([b"QUIT\r\n"])
        except (Gone, TimeoutError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Break the connection off."""
        self._transport.abort()

    async def _envelope(self, mail: MailMessage) -> None:
        size = b" SIZE=%d" % len(mail.content) if self._size else b""
        commands = [
            b"MAIL FROM:<%b>%b\r\n" % (_address(mail.sender), size),
            b"RCPT TO:<%b>\r\n" % _address(mail.recipient),
            b"DATA\r\n",
        ]
        if self._pipelining:
            await self._check_together(await self._ask(commands))
            return
        for command, first_digit in zip(commands, (_OK, _OK, _INTERMEDIATE), strict=True):
            reply = (await self._ask([command]))[0]
            if reply.code // 100 != first_digit:
                raise Refusal(reply)

    async def _check_together(self, replies: list[Reply]) -> None:
        """A relay that refused the recipient and still waits for content gets none (RFC 2920, section 3.1)."""
        *envelope, data = replies
        refused = next((reply for reply in envelope if not reply.accepted), None)
        if refused is None and data.code // 100 != _INTERMEDIATE:
            refused = data
        if refused is None:
            return
        if data.code // 100 == _INTERMEDIATE:
            await self._ask([b".\r\n"])
        raise Refusal(refused)

    async def _ask(self, commands: list[bytes], expected: int | None = None) -> list[Reply]:
        """Send all commands at once; their replies in order, `expected` where that is not one for each.

        Where the relay says 421 and closes, that stands for all that are missing.
        """
        if not self.usable:
            raise Gone
        self._replies = []
        self._expected = expected or len(commands)
        self._answered = self._loop.create_future()
        self._transport.write(b"".join(commands))
        try:
            await self._answered
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._answered = None
        return self._replies

    def data_received(self, data: bytes) -> None:
        """Read what replies are complete. One that nobody waits for is a farewell or a mix-up: either ends it."""
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        if len(self._buffer) > MAX_REPLY or not all(map(self._read_line, lines)):
            self.close()

    def _read_line(self, line: bytes) -> bool:
        code = line[:3]
        if not (code.isdigit() and len(code) == 3) or self._answered is None or len(self._lines) > MAX_LINES:
            return False
        text = line[4:].rstrip(b"\r").decode("utf-8", "replace")
        if line[3:4] == b"-":
            self._lines.append(text)
        elif self._lines:
            self._complete(Reply(int(code), "\n".join([*self._lines, text])))
            self._lines = []
        else:
            self._complete(Reply(int(code), text))
        return True

    def _complete(self, reply: Reply) -> None:
        self._replies.append(reply)
        if reply.code == _CLOSING:  # the relay answers nothing after this
            self._replies.extend([reply] * (self._expected - len(self._replies)))
        if len(self._replies) == self._expected and self._answered and not self._answered.done():
            self._answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio calls it
        """Whoever waits for a reply waits in vain."""
        if self._answered and not self._answered.done():
            self._answered.set_exception(Gone())


def _address(address: str) -> bytes:
    encoded = address.encode("ascii")
    if _UNSAFE.search(encoded):
        raise ValueError("an address may not contain white space, < or >")
    return encoded
