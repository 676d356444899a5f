"""The way onto the ingest topic: acknowledged within a time, or refused at once while Kafka is known to be away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from confluent_kafka import KafkaError

from pipeline.channels.cutoff import CutOff
from pipeline.errors import Unavailable
from pipeline.gateway.problems import unavailable
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.observability.health import Health

logger = logging.getLogger(__name__)

PROBE_SECONDS = 0.5


class IngestTopic:
    """Produces and waits for the acknowledgements, at most `ack_timeout` seconds.

    Once Kafka did not answer in time, everything is refused at once until `probe` (which raises `Unavailable` for as
    long as it is away) succeeds again.
    """

    def __init__(
        self,
        producer: AsyncProducer,
        ack_timeout: float,
        probe: Callable[[], Awaitable[None]],
        health: Health,
    ) -> None:
        self._producer = producer
        self._timeout = ack_timeout
        self._probe = probe
        self._health = health
        self._cut_off = CutOff()
        self._probing: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Let a request go on.

        Raises:
            Refused: 503, Kafka is away.
        """
        if self._probing is not None and not self._probing.done():
            raise unavailable("Kafka is away.", retry_after=2)

    async def deliver(self, records: Sequence[Record]) -> list[bool]:
        """For each record whether it is acknowledged by all in-sync replicas. What is not may still arrive."""
        delivery = _Delivery(len(records))
        try:
            deadline = asyncio.get_running_loop().time() + self._timeout
            await self._cut_off.at(deadline, self._acknowledged(records, delivery))
        except TimeoutError:
            logger.warning("Kafka did not acknowledge within %g s", self._timeout)
        except Unavailable as error:
            logger.warning("%s", error)
        if not all(delivery.acknowledged):
            self._suspect()
        return delivery.acknowledged

    async def _acknowledged(self, records: Sequence[Record], delivery: "_Delivery") -> None:
        for number, record in enumerate(records):
            await self._producer.send(record, delivery.reporter(number))
        await delivery.done

    async def close(self) -> None:
        if self._probing is not None:
            self._probing.cancel()

    def _suspect(self) -> None:
        if self._probing is None or self._probing.done():
            self._health.set("kafka", ok=False, detail="does not acknowledge")
            self._probing = asyncio.get_running_loop().create_task(self._await_kafka())

    async def _await_kafka(self) -> None:
        while True:
            try:
                await self._probe()
            except Unavailable:
                await asyncio.sleep(PROBE_SECONDS)
            else:
                break
        self._health.set("kafka", ok=True)
        logger.info("Kafka answers again")


class _Delivery:
    """The acknowledgements of records that were handed over together."""

    def __init__(self, size: int) -> None:
        self.acknowledged = [False] * size
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = size

    def reporter(self, number: int) -> Callable[[KafkaError | None], None]:
        def report(error: KafkaError | None) -> None:
            self.acknowledged[number] = error is None
            self._left -= 1
            if not self._left and not self.done.done():
                self.done.set_result(None)

        return report
