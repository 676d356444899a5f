"""Ends what waits for users who are erased: each notification gets its last status before its row goes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from pipeline.config import KafkaSettings
from pipeline.errors import Unavailable
from pipeline.events.codec import Codec
from pipeline.events.records import DeliveryStatus
from pipeline.events.registry import open_book
from pipeline.events.vocabulary import Reason, Status
from pipeline.kafka.client import producer_config
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.scheduler.records import status
from pipeline.scheduler.times import milliseconds
from pipeline.storage.postgres import Connection
from pipeline.storage.scripts import sql

PATIENCE = 30.0
"""Seconds that Kafka may take; longer, and nothing is erased."""

RULE = "unknown_recipient"
"""As the router would decide it, were it released: there is no such user any more."""

Tell = Callable[[Sequence[tuple[datetime, bytes]]], Awaitable[None]]
"""Writes the last status of notifications: when each was stopped, and its record of the deferred topic."""


class StatusTeller:
    """Tells the delivery-status topic."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    async def __call__(self, stopped: Sequence[tuple[datetime, bytes]]) -> None:
        """Return when Kafka has them.

        Raises:
            Unavailable: it has not within `PATIENCE`.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                codec = Codec.open(await open_book(self._kafka))
                records = [_record(codec, last_status(codec, at, record)) for at, record in stopped]
                async with AsyncProducer(producer_config(self._kafka)) as producer:
                    await producer.send_all(records)
        except TimeoutError:
            raise Unavailable(
                f"Kafka does not take the last statuses of {len(stopped)} notifications that wait: nothing is erased yet; "
                "run it again"
            ) from None


async def stop_waits(connection: Connection, user_ids: Sequence[str], at: datetime) -> None:
    """Note in a transaction of its own that they end at `at`; the first time counts."""
    async with connection.transaction():
        await connection.execute(sql("stop_waits"), user_ids, at)
        await connection.execute(sql("stop_digest_items"), user_ids, at)


async def end_waits(connection: Connection, user_ids: Sequence[str], tell: Tell) -> int:
    """Tell the end of all that waits, in the transaction that then deletes the rows; how many there were."""
    stopped: list[tuple[datetime, bytes]] = []
    for name in ("lock_waits_of_users", "lock_digest_items_of_users"):
        stopped += [(row["at"], row["record"]) for row in await connection.fetch(sql(name), user_ids)]
    if stopped:
        await tell(stopped)
    return len(stopped)


def last_status(codec: Codec, at: datetime, record: bytes) -> DeliveryStatus:
    deferred = codec.decode_deferred(record)
    ended = max(milliseconds(at), deferred.deferred_at + 1)
    return status(deferred, Status.SUPPRESSED, Reason.UNKNOWN_RECIPIENT, RULE, ended)


def _record(codec: Codec, told: DeliveryStatus) -> Record:
    return Record(DELIVERY_STATUS, told.recipient_id.encode(), codec.encode_status(told))
