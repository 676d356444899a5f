"""HTTP/2 as APNs needs it: an `h2` connection set up for many small requests, their headers, and how they end."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from h2.config import H2Configuration
from h2.connection import ConnectionInputs, ConnectionState, H2Connection, H2ConnectionStateMachine
from hpack import Encoder, HeaderTuple
from hpack.struct import NeverIndexedHeaderTuple

Headers = Sequence[HeaderTuple]


class ApnsAnswer(NamedTuple):
    """A complete answer."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header, "" where there is none."""
        return self.headers.get(name.encode(), b"").decode("ascii", "replace")


class NotProcessed(Exception):
    """APNs has certainly not processed the request, and says so; `error` is a short code."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class AnswerLost(Exception):
    """The request was written, and its answer will not come; `error` is a short code."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class _PlainEncoder(Encoder):
    """Without Huffman coding, which costs more time here than it saves."""

    def encode(self, headers, huffman=False):  # type: ignore[no-untyped-def]  # as hpack has it
        return super().encode(headers, huffman=huffman)


class _OpenAfterGoaway(H2ConnectionStateMachine):
    """h2 takes GOAWAY for the end of a connection; up to its last stream there are answers to come (RFC 9113, 6.8)."""

    _transitions = {  # noqa: RUF012 - as h2 has it
        **H2ConnectionStateMachine._transitions,  # noqa: SLF001 - h2 has no other way in
        (ConnectionState.CLIENT_OPEN, ConnectionInputs.RECV_GOAWAY): (None, ConnectionState.CLIENT_OPEN),
    }


def open_http2() -> H2Connection:
    """A client's connection. Headers are not checked again: `request_headers` makes good ones of good values."""
    config = H2Configuration(
        client_side=True, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
    )
    connection = H2Connection(config)
    connection.encoder = _PlainEncoder()
    connection.state_machine = _OpenAfterGoaway()
    return connection


def request_headers(host: str, token: str, others: Mapping[str, str]) -> list[HeaderTuple]:
    """The headers of one request. What is new in each stays out of the compression table, so that the rest stays in."""
    return [
        _METHOD,
        _SCHEME,
        NeverIndexedHeaderTuple(b":path", f"/3/device/{token}".encode()),
        HeaderTuple(b":authority", host.encode()),
        *(
            (NeverIndexedHeaderTuple if name in _NEW_IN_EACH else HeaderTuple)(name.encode(), value.encode())
            for name, value in others.items()
        ),
    ]


_NEW_IN_EACH = frozenset({"apns-id", "apns-expiration", "apns-collapse-id"})
_METHOD = HeaderTuple(b":method", b"POST")
_SCHEME = HeaderTuple(b":scheme", b"https")
