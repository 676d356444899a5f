"""Takes credentials out of text that is about to be shown: logs, errors, reports."""

import re

MASK = "***"

_SECRET = r"[\w.-]*(?:password|passwd|secret|token|api[_-]?key|authorization)"  # noqa: S105 -- matches the names of secrets
_SECRET_NAME = re.compile(_SECRET, re.IGNORECASE)
_USERINFO = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?P<user>[^\s:/?#]*):[^\s/?#]*@", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"(?P<name>\b{_SECRET}[\"']?\s*[=:]\s*[\"']?)"
    r"(?:(?:bearer|basic)\s+)?[^\s\"'&,;)}\]]+",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(?P<scheme>bearer|basic)\s+[\w+/=.~-]{8,}", re.IGNORECASE)


def redact(text: str) -> str:
    """`text` without what looks like a credential: ``scheme://user:…@``, ``password=…``, ``Bearer …``."""
    text = _USERINFO.sub(rf"\g<scheme>\g<user>:{MASK}@", text)
    text = _ASSIGNED.sub(rf"\g<name>{MASK}", text)
    return _SCHEME.sub(rf"\g<scheme> {MASK}", text)


def names_a_secret(name: str) -> bool:
    """Whether a value of that name must not be shown at all."""
    return _SECRET_NAME.fullmatch(name) is not None
