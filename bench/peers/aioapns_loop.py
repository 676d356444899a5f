"""The peer of the APNs worker: bare aioapns. No Kafka, no Redis, no templates, no status records."""

import asyncio
import logging
import os
import ssl
import sys
from pathlib import Path

import uvloop
from aioapns import APNs, NotificationRequest, PushType

from bench.peers.meter import Meter
from bench.peers.work import EVENTS

CONCURRENCY = 200
PORT, CERTIFICATE = int(os.environ["BENCH_PORT"]), os.environ["BENCH_CERTIFICATE"]
KEY = Path(os.environ["BENCH_KEY"]).read_text()
MESSAGE = {
    "aps": {"alert": {"title": "Your parcel is on its way", "body": "Order ORD-1 left our warehouse."}},
    "notification_id": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "event_type": "order.shipped",
}


async def main() -> None:
    meter = Meter(EVENTS)
    tls = ssl.create_default_context(cafile=CERTIFICATE)
    client = APNs(
        key=KEY,
        key_id="BENCHBENCH",
        team_id="BENCHTEAM1",
        topic="com.example.app",
        ssl_context=tls,
        max_connections=2,
    )
    server = {"APNS_SERVER": "127.0.0.1", "APNS_PORT": PORT}
    client.pool.protocol_class = type("Local", (client.pool.protocol_class,), server)

    async def push(number: int) -> None:
        token = f"{number:064x}"
        while True:
            request = NotificationRequest(
                token, MESSAGE, priority=10, time_to_live=3600, collapse_key="order", push_type=PushType.ALERT
            )
            result = await client.send_notification(request)
            if not result.is_successful:
                sys.exit(f"refused: {result.description}")
            meter.tick(1)

    await asyncio.gather(*(push(number) for number in range(CONCURRENCY)))


logging.disable()
uvloop.run(main())
