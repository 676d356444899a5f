"""A producer whose broker is stopped, killed or hangs: its buffer stays bounded, and every record arrives once."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator

import pytest

from pipeline.config import KafkaSettings
from pipeline.embedded.broker import FORCED, Broker, open_broker
from pipeline.embedded.processes import Supervisor
from pipeline.kafka.client import producer_config
from pipeline.kafka.names import INGEST
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.kafka.reader import read_topics
from pipeline.kafka.topology import apply_topics
from tests.integration.outages import Outage, away

pytestmark = [pytest.mark.real_broker, pytest.mark.timeout(180)]

ROOM = 200
RECORDS = 3_000
AWAY = 3.0


@pytest.fixture(scope="module")
def own_broker() -> Iterator[Broker]:
    """One that nobody else needs."""
    forced = {name: os.environ[name] for name in (FORCED,) if name in os.environ}
    with Supervisor() as supervisor:
        yield open_broker(supervisor, forced)


@pytest.mark.parametrize("how", Outage)
async def test_a_broker_that_is_away_fills_the_producer_to_its_limit_and_loses_and_doubles_nothing(
    own_broker: Broker, how: Outage
) -> None:
    kafka = KafkaSettings(bootstrap_servers=own_broker.bootstrap)
    await asyncio.to_thread(apply_topics, kafka, partitions=3, replication_factor=1)
    keys = [f"{how}-{n}".encode() for n in range(RECORDS)]
    config = producer_config(kafka, {"queue.buffering.max.messages": ROOM})
    async with AsyncProducer(config) as producer:
        await producer.send_all([Record(INGEST, f"before-{how}".encode(), b"")])
        async with away(own_broker.server, how):
            sending = asyncio.create_task(producer.send_all([Record(INGEST, key, b"value") for key in keys]))
            await asyncio.sleep(AWAY)
            assert len(producer) == ROOM
            assert not sending.done()
        await asyncio.wait_for(sending, 60)
        assert len(producer) == 0
    messages = [message for batch in await asyncio.to_thread(list, read_topics(kafka, [INGEST])) for message in batch]
    arrived = Counter(message.key() for message in messages if (message.key() or b"").startswith(f"{how}-".encode()))
    assert arrived == Counter(keys)
