"""What a strict mail server checks in a message, without building a parse tree of it."""

import re
from collections.abc import Collection

MAX_LINE = 998

_ONCE = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type", "x-notification-id")
_FIELD = re.compile(rb"([!-9;-~]+):[ \t]?(.*(?:\r\n[ \t].*)*)\r\n")
_ADDRESS = re.compile(r"[^@\s<>,;]{1,64}@[A-Za-z0-9.-]{1,253}")
_BOUNDARY = re.compile(r'boundary="([^"]+)"')


def read_headers(message: bytes) -> dict[str, str]:
    """The header fields by lower-case name, still encoded.

    Raises:
        ValueError: the message breaks RFC 5322 or RFC 2046, or cannot be traced; says how.
    """
    head, separator, body = message.partition(b"\r\n\r\n")
    if not separator:
        raise ValueError("no empty line after the header")
    if not head.isascii():
        raise ValueError("header is not ASCII")
    _check_lines(message)
    headers = _fields(head + b"\r\n")
    _check_boundary(headers["content-type"], body)
    return headers


def _fields(head: bytes) -> dict[str, str]:
    fields, position = {}, 0
    while position < len(head):
        match = _FIELD.match(head, position)
        if not match:
            raise ValueError("a header line is malformed")
        name = match[1].decode().lower()
        if name in fields:
            raise ValueError(f"{name} occurs twice")
        fields[name] = match[2].decode()
        position = match.end()
    if missing := [name for name in _ONCE if name not in fields]:
        raise ValueError(f"missing: {', '.join(missing)}")
    return fields


def _check_lines(message: bytes) -> None:
    lines = message.split(b"\r\n")
    if max(map(len, lines)) > MAX_LINE:
        raise ValueError(f"a line of more than {MAX_LINE} bytes")
    if any(b"\n" in line or b"\r" in line or b"\x00" in line for line in lines):
        raise ValueError("a bare CR, LF or NUL")


def _check_boundary(content_type: str, body: bytes) -> None:
    boundary = _BOUNDARY.search(content_type)
    if boundary and f"--{boundary[1]}--".encode() not in body:
        raise ValueError("the multipart body is not closed")


def keys(value: object, where: str, allowed: Collection[str] | None = None) -> dict[str, object]:
    """`value` as a JSON object that has no key beside those `allowed` (None: any).

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{where} is no object")
    if allowed is not None and (unknown := sorted(set(value) - set(allowed))):
        raise ValueError(f"{where}: unknown {', '.join(map(str, unknown))}")
    return value


def text(value: object, where: str) -> str:
    """`value` as a text that is not empty.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where} is missing or empty")
    return value


def address(value: object, where: str) -> str:
    """`value` as one mail address in ASCII.

    Raises:
        ValueError: it is something else.
    """
    found = text(value, where)
    if not found.isascii() or not _ADDRESS.fullmatch(found):
        raise ValueError(f"{where} is not a valid address")
    return found
