"""An HTTP/2 server over TLS that costs little, so that what is measured is the client of APNs.

It reads frames itself, answers each request at once with 200 and its own ``apns-id`` (which aioapns needs), and does
not look at anything else (correctness is the simulator's business, `pipeline.testing.apns`).
"""

import asyncio
import sys
from pathlib import Path
from typing import cast

import uvloop
from hpack import Decoder

from pipeline.testing.tls import LocalCertificate

PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
STATUS_200 = b"\x88"
APNS_ID = b"\x00\x07apns-id"
WINDOW = (1 << 31) - 1 - 65_535
"""All the flow control there can be: bare aioapns gives up where it has to wait for some."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


class Answer(asyncio.Protocol):
    """Reads just enough of HTTP/2 to answer."""

    def __init__(self) -> None:
        self._buffer = b""
        self._preface = PREFACE
        self._decoder = Decoder()
        self._ids: dict[int, bytes] = {}
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        most_streams = (3).to_bytes(2, "big") + (1000).to_bytes(4, "big")
        grant = frame(WINDOW_UPDATE, 0, 0, WINDOW.to_bytes(4, "big"))
        self._transport.write(frame(SETTINGS, 0, 0, most_streams) + grant)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._preface:
            if len(self._buffer) < self._preface:
                return
            self._buffer, self._preface = self._buffer[self._preface :], 0
        out: list[bytes] = []
        at = 0
        while len(self._buffer) - at >= 9:
            size = int.from_bytes(self._buffer[at : at + 3], "big")
            if len(self._buffer) - at < 9 + size:
                break
            kind, flags = self._buffer[at + 3], self._buffer[at + 4]
            stream = int.from_bytes(self._buffer[at + 5 : at + 9], "big")
            self._take(kind, flags, stream, self._buffer[at + 9 : at + 9 + size], out)
            at += 9 + size
        self._buffer = self._buffer[at:]
        if out and self._transport:
            self._transport.write(b"".join(out))

    def _take(self, kind: int, flags: int, stream: int, payload: bytes, out: list[bytes]) -> None:
        if kind == HEADERS:
            fields = dict(self._decoder.decode(payload, raw=True))
            self._ids[stream] = fields[b"apns-id"]
        elif kind == DATA:
            if flags & END_STREAM:
                apns_id = self._ids.pop(stream)
                block = STATUS_200 + APNS_ID + bytes((len(apns_id),)) + apns_id
                out.append(frame(HEADERS, END_STREAM | END_HEADERS, stream, block))
        elif kind == SETTINGS and not flags & ACK:
            out.append(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            out.append(frame(PING, ACK, 0, payload))


async def main() -> None:
    """Serve on PORT, with a certificate made in FOLDER."""
    tls = LocalCertificate(Path(sys.argv[2])).server_context(["h2"])
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", int(sys.argv[1]), ssl=tls)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
