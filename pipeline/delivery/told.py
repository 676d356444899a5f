"""Reads on the status topic how notifications ended whose holder vanished, where Redis does not know any more."""

import asyncio
import logging
import math
import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka.admin import AdminClient

from pipeline.config import KafkaSettings
from pipeline.delivery.takeover import Told
from pipeline.errors import MalformedRecord, Unavailable
from pipeline.events.codec import Codec
from pipeline.events.records import DeliveryStatus
from pipeline.events.vocabulary import TERMINAL, WAITING, Channel, Priority
from pipeline.kafka.names import DELIVERY_STATUS, dispatch_topic
from pipeline.kafka.reach import Reach
from pipeline.kafka.reader import read_topics

logger = logging.getLogger(__name__)

BEFORE = 10_000
"""Milliseconds before the last commit from which on is read: a status record may have waited for its acknowledgement."""

AFTER = 180_000
"""Milliseconds after it: a holder that lives commits at least once a minute."""

SECONDS = 10.0
"""How long is read at most; what is not found by then counts as in doubt."""

MOST = 50_000
"""Outcomes remembered at most."""


class StatusTail:
    """Looks for outcomes of one dispatch topic."""

    def __init__(self, kafka: KafkaSettings, codec: Codec, channel: Channel, priority: Priority) -> None:
        self._kafka = kafka
        self._codec = codec
        self._channel = channel
        self._priority = priority

    async def read(self, partition: int, since: int) -> Told:
        """How notifications of that partition ended from `since` (ms) on, as far as that can be read in `SECONDS`."""
        topic = dispatch_topic(self._channel, self._priority)
        logger.warning(
            "%s/%d: Redis was emptied since its last commit; reading what has ended since on %s",
            topic,
            partition,
            DELIVERY_STATUS,
        )
        told: dict[str, DeliveryStatus] = {}
        try:
            await asyncio.to_thread(self._read, topic, partition, since, told)
        except Unavailable as error:
            logger.warning("%s; what may have been sent is in doubt", error)
        return told

    def _read(self, topic: str, partition: int, since: int, told: dict[str, DeliveryStatus]) -> None:
        for status in self._statuses(self._where(topic, partition), since):
            if status.channel is self._channel and status.status in TERMINAL | WAITING:
                told[status.notification_id] = status

    def _where(self, topic: str, partition: int) -> list[int]:
        """The partitions of the status topic that hold the same keys: a key's hash leaves both remainders."""
        reach = Reach(self._kafka)
        config: dict[str, Any] = reach.client_config()
        admin = AdminClient(config)
        ours, theirs = len(reach.partitions(admin, topic)), len(reach.partitions(admin, DELIVERY_STATUS))
        common = math.gcd(ours, theirs)
        return [number for number in range(theirs) if number % common == partition % common]

    def _statuses(self, partitions: list[int], since: int) -> Iterator[DeliveryStatus]:
        deadline, count = time.monotonic() + SECONDS, 0
        batches = read_topics(
            self._kafka, [DELIVERY_STATUS], start=max(0, since - BEFORE), partitions=partitions, stall=SECONDS
        )
        for batch in batches:
            for message in batch:
                if message.timestamp()[1] > since + AFTER:
                    continue
                try:
                    yield self._codec.decode_status(message.value())
                except MalformedRecord:
                    continue
                count += 1
            if count > MOST or time.monotonic() > deadline:
                return
