"""Posts events over keep-alive connections, as cheaply as Python can, and prints rate and latencies.

``RATE`` 0: every connection sends its next request when its answer is there (capacity). Else so many requests a second
are due at their times whether or not earlier ones are answered, and each latency counts from when it was due.
"""

import asyncio
import json
import os
import sys
import time
from collections import deque
from typing import cast
from urllib.parse import urlsplit

import uvloop

CONNECTIONS = 256
WARM_UP = 0.2
"""The part of the requests that comes before what is measured."""


class Connection(asyncio.Protocol):
    """One request at a time; `answered` is called with this connection when its answer is there."""

    def __init__(self, load: "Load") -> None:
        self._load = load
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        assert self._transport
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self._buffer[:head_end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self._buffer) < head_end + 4 + length:
            return
        if not head.startswith(b"http/1.1 202"):
            sys.exit(f"not accepted: {self._buffer[:600]!r}")
        self._buffer = b""
        self._load.answered(self)


class Load:
    """Sends `total` requests; `done` is set when the last one is answered."""

    def __init__(self, url: str, token: str, tag: str, total: int, rate: float) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self._head = (
            f"POST /v1/events HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        )
        self._tag = tag
        self._total = total
        self._rate = rate
        self._sent = 0
        self._answered = 0
        self._free: deque[Connection] = deque()
        self._late: deque[float] = deque()
        self.latencies: list[float] = []
        self.first = 0.0
        self.done = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            _, connection = await loop.create_connection(lambda: Connection(self), self.host, self.port)
            self._free.append(connection)
        if not self._rate:
            for connection in list(self._free):
                self._send(connection, time.perf_counter())
        else:
            await self._send_on_time()
        await self.done.wait()

    async def _send_on_time(self) -> None:
        began = time.perf_counter()
        for number in range(self._total):
            due = began + number / self._rate
            if (now := time.perf_counter()) < due:
                await asyncio.sleep(due - now)
            if self._free:
                self._send(self._free.popleft(), due)
            else:
                self._late.append(due)

    def _send(self, connection: Connection, due: float) -> None:
        body = (
            f'{{"event_type":"order.shipped","recipient_id":"user_{self._sent % 5000:08d}","channels":["push"],'
            f'"priority":"normal","data":{{"order_id":"ORD-{self._sent:08d}","tracking_url":"https://example.com/t/1"}},'
            f'"idempotency_key":"{self._tag}-{self._sent:08d}","source":"bench"}}'
        )
        self._sent += 1
        connection.send(f"{self._head}{len(body)}\r\n\r\n{body}".encode(), due)

    def answered(self, connection: Connection) -> None:
        now = time.perf_counter()
        self._answered += 1
        if self._answered == int(self._total * WARM_UP):
            self.first = now
        elif self.first:
            self.latencies.append(now - connection.due)
        if self._answered == self._total:
            self.done.set()
        elif self._late:
            self._send(connection, self._late.popleft())
        elif self._rate:
            self._free.append(connection)
        elif self._sent < self._total:
            self._send(connection, now)


async def main() -> None:
    environment = os.environ
    load = Load(
        environment["BENCH_URL"],
        environment["BENCH_TOKEN"],
        environment["BENCH_TAG"],
        int(environment["BENCH_EVENTS"]),
        float(environment["BENCH_RATE"]),
    )
    await load.run()
    seconds = time.perf_counter() - load.first
    ordered = sorted(load.latencies)
    figures = {
        "rate": len(ordered) / seconds,
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
    }
    os.write(1, (json.dumps(figures) + "\n").encode())


if __name__ == "__main__":
    uvloop.run(main())
