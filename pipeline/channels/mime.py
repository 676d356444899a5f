"""Builds mails as bytes. The parts that never change are made once; `email.message` would take 950 µs a mail."""

import base64
import binascii
from datetime import UTC, datetime
from email.utils import format_datetime, formataddr, parseaddr
from functools import lru_cache
from typing import NamedTuple

from pipeline.channels.addresses import email_address
from pipeline.channels.rendering import one_line

MAX_LINE = 998
"""Bytes of a header line, without CRLF (RFC 5322, section 2.1.1)."""

_BOUNDARY = "=_alternative"
"""No part holds it: quoted-printable writes ``=3D`` for ``=``, base64 has no ``_``, and 7bit is not used then."""
_BOUNDARY_LINE = f"--{_BOUNDARY}".encode()

_WORD_BYTES = 42
"""UTF-8 bytes of one encoded word: 56 in base64, 68 with its frame (RFC 2047 allows 75)."""

_PART = 'Content-Type: text/{}; charset="utf-8"\r\nContent-Transfer-Encoding: {}\r\n\r\n'


class Sender(NamedTuple):
    """Who a stream's mail is from: `header` is `name` and `address` for the reader, `domain` goes into Message-IDs."""

    address: str
    name: str
    header: str
    domain: str


class MailContent(NamedTuple):
    """One mail before it is put into MIME. `headers` are further lines, names and values, ASCII."""

    recipient: str
    subject: str
    text: str
    html: str
    sent_at: float
    headers: tuple[tuple[str, str], ...] = ()


def parse_sender(text: str) -> Sender | None:
    """``Name <address>`` or an address alone; None if it has no usable address."""
    name, raw = parseaddr(one_line(text))
    address = email_address(raw)
    if address is None:
        return None
    return Sender(address, name, formataddr((name, address), "utf-8"), address.rpartition("@")[2])


def build_mail(sender: Sender, content: MailContent) -> bytes:
    """The complete message: text and HTML as alternatives, all lines ASCII and ending in CRLF.

    Raises:
        ValueError: a header line would be longer than `MAX_LINE`, or contain a line break that is no folding.
    """
    headers = (
        ("From", sender.header),
        ("To", content.recipient),
        ("Subject", encode_subject(content.subject)),
        ("Date", _date(int(content.sent_at))),
        *content.headers,
    )
    return b"".join(
        (
            _header(headers),
            _OPENING,
            _encode_part("plain", content.text),
            _BETWEEN,
            _encode_part("html", content.html),
            _CLOSING,
        )
    )


_OPENING = (
    f'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="{_BOUNDARY}"\r\n\r\n--{_BOUNDARY}\r\n'
).encode()
_BETWEEN = f"\r\n--{_BOUNDARY}\r\n".encode()
_CLOSING = f"\r\n--{_BOUNDARY}--\r\n".encode()


def encode_subject(text: str) -> str:
    """A subject on one line where it is short ASCII, else folded; encoded words (RFC 2047) where it is not ASCII."""
    subject = one_line(text)
    if subject.isascii() and "=?" not in subject:
        folded = _fold(subject.split(" "))
        if max(map(len, folded.split("\r\n"))) < MAX_LINE - len("Subject: "):
            return folded
    return "\r\n ".join(_encoded_words(subject))


def _fold(words: list[str], width: int = 66) -> str:
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) < width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\r\n ".join(lines)


def _encoded_words(text: str) -> list[str]:
    """Each word holds whole characters, as RFC 2047 demands."""
    chunks, chunk = [], bytearray()
    for character in text:
        encoded = character.encode()
        if len(chunk) + len(encoded) > _WORD_BYTES:
            chunks.append(bytes(chunk))
            chunk.clear()
        chunk += encoded
    chunks.append(bytes(chunk))
    return [f"=?utf-8?B?{base64.b64encode(chunk).decode()}?=" for chunk in chunks]


def _header(lines: tuple[tuple[str, str], ...]) -> bytes:
    """All header lines. What comes from data went through `one_line` before, so folding is the only line break."""
    header = "".join([f"{name}: {value}\r\n" for name, value in lines])
    unfolded = header.replace("\r\n ", "")
    if unfolded.count("\r\n") != len(lines) or not unfolded.replace("\r\n", "").isprintable():
        raise ValueError("a header line would contain a line break or a control character")
    encoded = header.encode("ascii")
    if not has_short_lines(encoded):
        raise ValueError(f"a header line would be longer than {MAX_LINE} bytes")
    return encoded


def has_short_lines(text: bytes) -> bool:
    """Whether no line is longer than `MAX_LINE`. Looks at one line break in each stretch of that length."""
    start = 0
    while len(text) - start > MAX_LINE:
        end = text.rfind(b"\r\n", start, start + MAX_LINE + 2)
        if end < 0:
            return False
        start = end + 2
    return True


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    return format_datetime(datetime.fromtimestamp(second, UTC))


def _encode_part(subtype: str, text: str) -> bytes:
    """As it is where it is plain ASCII in short lines, which costs next to nothing; else quoted-printable; base64
    where most characters are not ASCII, since it is shorter then, and as readable.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    content = text.replace("\n", "\r\n").encode()
    if _travels_as_it_is(content):
        return _PART.format(subtype, "7bit").encode() + content
    if 3 * (len(content) - len(text)) > len(content):
        body = base64.encodebytes(content).replace(b"\n", b"\r\n")
        return _PART.format(subtype, "base64").encode() + body
    return _PART.format(subtype, "quoted-printable").encode() + binascii.b2a_qp(content, istext=True)


def _travels_as_it_is(content: bytes) -> bool:
    """RFC 2045, section 2.7; a NUL is none, and a line that begins like our boundary would end the part."""
    return content.isascii() and b"\x00" not in content and _BOUNDARY_LINE not in content and has_short_lines(content)
