"""A confluent producer for asyncio: no thread, no future for each record, back-pressure instead of `BufferError`.

``confluent_kafka.aio`` drops headers and takes a second or more to report a delivery, so this wraps the synchronous
`Producer`: while anything is under way, one task polls it every `poll_interval` seconds.
"""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline.errors import Unavailable
from pipeline.kafka.client import ClientConfig
from pipeline.kafka.statistics import Statistics

Headers = list[tuple[str, str | bytes | None]]
OnDelivered = Callable[[KafkaError | None], None]

POLL_INTERVAL = 0.001

IDLE_POLL = 1.0
"""Seconds between two looks of a producer that tells its statistics: untold ones pile up in its queue."""


class Record(NamedTuple):
    """One record to produce."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None


class AsyncProducer:
    """Produces to Kafka from one event loop. Use as an async context manager; leaving it flushes."""

    def __init__(
        self,
        config: ClientConfig,
        *,
        flush_timeout: float = 10.0,
        poll_interval: float = POLL_INTERVAL,
        statistics: Statistics | None = None,
    ) -> None:
        self._producer = Producer({**config, **statistics.config()} if statistics else config)
        self._tells = statistics is not None
        self._listening: asyncio.Task[None] | None = None
        self._poll_interval = poll_interval
        self._flush_timeout = flush_timeout
        self._pump: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Records not yet acknowledged."""
        return len(self._producer)

    async def __aenter__(self) -> Self:
        if self._tells:
            self._listening = asyncio.get_running_loop().create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Wait for what is under way, at most the flush timeout."""
        deadline = asyncio.get_running_loop().time() + self._flush_timeout
        while len(self._producer) and asyncio.get_running_loop().time() < deadline:
            self._producer.poll(0)
            await asyncio.sleep(POLL_INTERVAL)
        for task in (self._pump, self._listening):
            if task:
                task.cancel()

    async def send_all(self, records: Sequence[Record]) -> None:
        """Produce all and wait until every one is acknowledged by all in-sync replicas.

        Raises:
            Unavailable: at least one was refused for good; which ones arrived is then unknown.
        """
        await self.acknowledged(await self.hand_over(records))

    async def hand_over(self, records: Sequence[Record]) -> "Batch":
        """Give all to the client, in order, waiting only where its buffer is full; then await `acknowledged`."""
        batch = Batch(len(records))
        for record in records:
            while not self._produce(record, batch.delivered):
                self._producer.poll(0)
                await asyncio.sleep(POLL_INTERVAL)
        self._producer.poll(0)
        return batch

    async def acknowledged(self, batch: "Batch") -> None:
        """Wait for all acknowledgements of a batch. Raises as `send_all`."""
        while batch.left:
            self._producer.poll(0)
            if batch.left:
                await asyncio.sleep(POLL_INTERVAL)
        if batch.error is not None:
            raise Unavailable(f"Kafka refused a record: {batch.error.str()}")

    async def send(self, record: Record, on_delivered: OnDelivered) -> None:
        """Hand one record over; `on_delivered` is called in this loop with None or the error. Waits if the buffer is full."""

        def report(error: KafkaError | None, _message: Message) -> None:
            on_delivered(error)

        while not self._produce(record, report):
            self._producer.poll(0)
            await asyncio.sleep(POLL_INTERVAL)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._poll_while_busy())

    def _produce(self, record: Record, report: Callable[[KafkaError | None, Message], None]) -> bool:
        """Whether there was room for it.

        Raises:
            Unavailable: the client refuses it for good (too large, fenced).
        """
        topic, key, value, headers = record
        try:
            if headers:
                self._producer.produce(topic, value, key, on_delivery=report, headers=headers)
            else:
                self._producer.produce(topic, value, key, on_delivery=report)
        except BufferError:
            return False
        except KafkaException as error:
            raise Unavailable(f"cannot produce to {topic}: {error.args[0].str()}") from error
        return True

    async def _listen(self) -> None:
        while True:
            self._producer.poll(0)
            await asyncio.sleep(IDLE_POLL)

    async def _poll_while_busy(self) -> None:
        while len(self._producer):
            self._producer.poll(0)
            await asyncio.sleep(self._poll_interval)


class Batch:
    """Counts the deliveries of records that were handed over together."""

    __slots__ = ("error", "left")

    def __init__(self, size: int) -> None:
        self.left = size
        self.error: KafkaError | None = None

    def delivered(self, error: KafkaError | None, _message: Message) -> None:
        self.left -= 1
        if error is not None:
            self.error = error
