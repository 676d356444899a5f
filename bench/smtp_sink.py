"""A mail relay that costs next to nothing, so that what is measured is the client: takes every mail at once.

It looks for the ends of lines and of contents only (correctness is the simulators' business, `pipeline.testing`), and
offers PIPELINING, as every relay of note does.
"""

import asyncio
import sys
from typing import cast

import uvloop

REPLIES = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250-SIZE 10485760\r\n250 ENHANCEDSTATUSCODES\r\n",
    b"DATA": b"354 go ahead\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}
OK = b"250 2.0.0 ok\r\n"
ACCEPTED = b"250 2.0.0 ok: queued as 4F2A1B3C\r\n"
END = b"\r\n.\r\n"


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._in_content = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        replies = b""
        while reply := self._next():
            replies += reply
        if replies and self._transport:
            self._transport.write(replies)

    def _next(self) -> bytes:
        if self._in_content:
            end = self._buffer.find(END)
            if end < 0:
                return b""
            self._buffer = self._buffer[end + len(END) :]
            self._in_content = False
            return ACCEPTED
        line, found, rest = self._buffer.partition(b"\r\n")
        if not found:
            return b""
        self._buffer = rest
        command = line[:4].upper()
        self._in_content = command == b"DATA"
        return REPLIES.get(command, OK)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
