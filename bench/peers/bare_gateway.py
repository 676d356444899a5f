"""A bare aiohttp handler: reads the body, produces the bytes that ours would, answers once Kafka acknowledged.

It looks at nothing and remembers nothing; the record is made once and for all.
"""

import asyncio
import os
import time

import uvloop
from aiohttp import web
from confluent_kafka import KafkaError

from pipeline.config import Settings
from pipeline.events.codec import Codec
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Priority
from pipeline.kafka.client import producer_config
from pipeline.kafka.names import INGEST
from pipeline.kafka.producer import AsyncProducer, Record


def _record(user: int) -> Record:
    event = NotificationRequested(
        event_id="00000000-0000-4000-8000-000000000000",
        event_type="order.shipped",
        recipient_id=f"user_{user:08d}",
        channels=[Channel.PUSH],
        priority=Priority.NORMAL,
        data='{"order_id":"ORD-00000000","tracking_url":"https://example.com/t/1"}',
        idempotency_key="peer-00000000",
        created_at=time.time_ns() // 1_000_000,
        source="bench",
    )
    return Record(INGEST, event.recipient_id.encode(), Codec.open().encode_event(event))


async def main() -> None:
    records = [_record(user) for user in range(64)]
    answer = b'{"event_id":"00000000-0000-4000-8000-000000000000","idempotency_key":"peer-00000000"}'
    loop = asyncio.get_running_loop()
    turn = 0
    async with AsyncProducer(producer_config(Settings.load().kafka)) as producer:

        async def accept(request: web.Request) -> web.Response:
            nonlocal turn
            await request.read()
            turn += 1
            acknowledged: asyncio.Future[None] = loop.create_future()

            def report(error: KafkaError | None) -> None:
                if error is None:
                    acknowledged.set_result(None)
                else:
                    acknowledged.set_exception(RuntimeError(error.str()))

            await producer.send(records[turn % 64], report)
            await acknowledged
            return web.Response(body=answer, status=202, content_type="application/json")

        application = web.Application()
        application.router.add_post("/v1/events", accept)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(os.environ["BENCH_PORT"])).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
