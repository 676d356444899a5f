"""An HTTP server that costs next to nothing, so that what is measured is the client.

Answers every request at once (with a second argument: after so many ms), keep-alive: the OAuth token endpoint with a
token, anything else like FCM. It does not look at what it is sent (correctness is the simulators' business,
`pipeline.testing`).
"""

import asyncio
import json
import sys
from typing import cast

import uvloop

TOKEN = json.dumps({"access_token": "t" * 200, "expires_in": 3600, "token_type": "Bearer"}).encode()
DELAY = float(sys.argv[2]) / 1000 if len(sys.argv) > 2 else 0.0
ACCEPTED = json.dumps({"name": "projects/bench/messages/0:1500415314455276%31bd1c9631bd1c96"}).encode()


def _response(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Answer(asyncio.Protocol):
    """Reads just enough of HTTP to know where a request ends."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (head_end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:head_end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < head_end + 4 + length:
                return
            self._buffer = self._buffer[head_end + 4 + length :]
            self._answer(RESPONSES[head.startswith(b"post /token")])

    def _answer(self, response: bytes) -> None:
        if DELAY:
            asyncio.get_running_loop().call_later(DELAY, self._write, response)
        else:
            self._write(response)

    def _write(self, response: bytes) -> None:
        if self._transport:
            self._transport.write(response)


RESPONSES = {True: _response(TOKEN), False: _response(ACCEPTED)}


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
