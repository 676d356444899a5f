"""The limit of a push worker: a bare aiohttp POST loop. No Kafka, no Redis, no templates, no status records."""

import asyncio
import json
import os

import aiohttp
import uvloop

from bench.peers.meter import Meter
from bench.peers.work import EVENTS

CONCURRENCY = 200
URL = os.environ["BENCH_URL"]
BODY = json.dumps(
    {
        "message": {
            "token": "t" * 152,
            "notification": {"title": "Your parcel is on its way", "body": "Order ORD-1 left our warehouse."},
            "data": {"notification_id": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "event_type": "order.shipped"},
        }
    }
).encode()
HEADERS = {"Authorization": "Bearer " + "t" * 200, "Content-Type": "application/json"}


async def main() -> None:
    meter = Meter(EVENTS)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY)) as session:

        async def post() -> None:
            while True:
                async with session.post(URL, data=BODY, headers=HEADERS) as response:
                    await response.read()
                meter.tick(1)

        await asyncio.gather(*(post() for _ in range(CONCURRENCY)))


uvloop.run(main())
