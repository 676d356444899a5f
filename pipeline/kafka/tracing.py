"""Record headers that travel along: where a record came from, what it waited for, the W3C trace that it belongs to."""

from collections.abc import Iterable

from pipeline.events.vocabulary import Origin
from pipeline.kafka.names import Header

RawHeaders = Iterable[tuple[str, bytes | None]] | None

_LONGEST_NUMBER = 19
_ORIGINS = {origin.encode(): origin for origin in Origin}


def header(headers: RawHeaders, name: str) -> bytes | None:
    """The last header of that name, as Kafka's own clients read it."""
    found = None
    for key, value in headers or ():
        if key == name:
            found = value
    return found


def origin_of(headers: RawHeaders) -> Origin:
    """The header ``origin``; what is missing or unknown counts as `Origin.INGEST`."""
    return _ORIGINS.get(header(headers, Header.ORIGIN) or b"", Origin.INGEST)


def number_of(headers: RawHeaders, name: str) -> int:
    """A header that holds a positive whole number as decimal text; 0 where there is none."""
    text = header(headers, name) or b""
    return int(text) if text.isdigit() and len(text) < _LONGEST_NUMBER else 0


def trace_id(traceparent: bytes | None) -> str:
    """The trace id of a ``traceparent`` header (W3C Trace Context); "" if there is none or it is malformed."""
    if traceparent is None or len(traceparent) < 55 or traceparent[2:3] != b"-" or traceparent[35:36] != b"-":
        return ""
    digits = traceparent[3:35]
    try:
        number = int(digits, 16)
    except ValueError:
        return ""
    return digits.decode() if number else ""
