"""A Faust router as the tutorials write it: for each event, await every Redis call and every send."""

import tempfile

import faust
import uvloop
from faust.types import StreamT, TopicT
from redis.asyncio import Redis

from bench.peers.meter import Meter
from bench.peers.work import BOOTSTRAP, EVENTS, GROUP, REDIS_URL, decode, dispatches
from pipeline.kafka.names import INGEST


def make_app() -> faust.App:
    app = faust.App(
        GROUP,
        broker=f"kafka://{BOOTSTRAP}",
        store="memory://",
        datadir=tempfile.mkdtemp(),
        web_enabled=False,
        autodiscover=False,
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        topic_allow_declare=False,
    )

    def raw(name: str) -> TopicT:
        return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    ingest = raw(INGEST)
    outs = {name: raw(name) for name in ("bench.push", "bench.email", "bench.in_app")}
    store = Redis.from_url(REDIS_URL)
    meter = Meter(EVENTS)

    async def route(stream: StreamT[bytes]) -> None:
        async for value in stream:
            event = decode(value)
            await store.get(f"pref:{event['recipient_id']}")
            await store.set(f"idem:{event['idempotency_key']}", 1, nx=True, ex=60)
            await store.incr(f"cap:{event['recipient_id']}")
            for topic, dispatch in dispatches(event):
                await outs[topic].send(key=event["recipient_id"].encode(), value=dispatch)
            meter.tick(1)

    app.agent(ingest, name="naive")(route)
    return app


async def main() -> None:
    app = make_app()
    await app.start()
    await app.wait_until_stopped()


uvloop.run(main())
