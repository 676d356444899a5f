"""The limit of a mail worker by its library: a bare aiosmtplib loop over ready bytes. No Kafka, Redis, or templates."""

import asyncio
import os
from pathlib import Path

import aiosmtplib
import uvloop

from bench.peers.meter import Meter
from bench.peers.work import EVENTS

CONNECTIONS = int(os.environ["BENCH_CONNECTIONS"])
PORT = int(os.environ["BENCH_PORT"])
MAIL = Path(os.environ["BENCH_MAIL"]).read_bytes()


async def main() -> None:
    meter = Meter(EVENTS)

    async def send() -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=PORT, start_tls=False) as relay:
            while True:
                await relay.sendmail("notify@mail.example.com", ["user@example.com"], MAIL)
                meter.tick(1)

    await asyncio.gather(*(send() for _ in range(CONNECTIONS)))


uvloop.run(main())
