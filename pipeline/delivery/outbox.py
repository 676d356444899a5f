"""Records that must reach Kafka: a refusal is answered by another try, for as long as it takes."""

import asyncio
import logging
from collections.abc import Callable

from confluent_kafka import KafkaError

from pipeline.errors import Unavailable
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.observability.health import Health

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two tries of a record that Kafka refused."""

PART = "kafka producer"


class Outbox:
    """Produces for one engine. `broken` is set where the producer can never go on: the process must start anew."""

    def __init__(self, producer: AsyncProducer, health: Health) -> None:
        self._producer = producer
        self._health = health
        self._again: set[asyncio.Task[None]] = set()
        self._refusing = False
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def send(self, record: Record, on_acknowledged: Callable[[], None]) -> None:
        """Hand over; `on_acknowledged` is called once all in-sync replicas have it."""

        def report(error: KafkaError | None) -> None:
            if error is None:
                if self._refusing:
                    self._accepted()
                on_acknowledged()
            elif error.fatal():
                self._break(f"the Kafka producer cannot go on: {error.str()}")
            else:
                self._refused(record, error)
                self._try_again(record, on_acknowledged)

        await self._producer.send(record, report)

    async def deliver(self, record: Record) -> None:
        """Hand over and wait for the acknowledgement."""
        acknowledged = asyncio.Event()
        await self.send(record, acknowledged.set)
        await acknowledged.wait()

    def _try_again(self, record: Record, on_acknowledged: Callable[[], None]) -> None:
        task = asyncio.get_running_loop().create_task(self._send_later(record, on_acknowledged))
        self._again.add(task)
        task.add_done_callback(self._again.discard)

    async def _send_later(self, record: Record, on_acknowledged: Callable[[], None]) -> None:
        await asyncio.sleep(PAUSE)
        try:
            await self.send(record, on_acknowledged)
        except Unavailable as error:
            self._break(str(error))

    def _refused(self, record: Record, error: KafkaError) -> None:
        text = f"Kafka refuses a record for {record.topic}: {error.str()}"
        if not self._refusing:
            logger.warning("%s; trying again", text)
        self._refusing = True
        self._health.set(PART, ok=False, detail=text)

    def _accepted(self) -> None:
        self._refusing = False
        self._health.set(PART, ok=True)

    def _break(self, text: str) -> None:
        if not self.broken.done():
            self.broken.set_exception(Unavailable(text))
