"""Sends digests that are due, in two steps, each a transaction: what is in it is settled; then its records are written.

Between the two nothing can change any more, so that whoever writes the records, and however often, writes the same: a
digest event whose idempotency key is the digest's own, and a status for each item that says what became of it.
"""

import asyncio
import random
from collections.abc import Sequence

from pipeline.catalogue.model import Catalogue
from pipeline.config import SchedulerSettings
from pipeline.events.codec import Codec, parse_data
from pipeline.events.records import Deferred, DeliveryStatus
from pipeline.events.vocabulary import Reason, Status, Verdict
from pipeline.kafka.names import DELIVERY_STATUS, INGEST
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.observability.patience import until_available
from pipeline.routing.decide import stopped_meanwhile
from pipeline.scheduler import digests
from pipeline.scheduler.digests import Collected, Full, Settled
from pipeline.scheduler.records import DigestHead, digest_event, status, trace
from pipeline.scheduler.times import Clock, instant, milliseconds
from pipeline.scheduler.waiting import TRY_AGAIN
from pipeline.storage.postgres import Pool, reachable
from pipeline.users.directory import UserDirectory
from pipeline.users.snapshot import UserSnapshot

AT_ONCE = 20
"""Digests in one transaction; each holds its items in memory while it lasts."""

_VERDICTS = {Verdict.EXPIRE: "expired", Verdict.SUPPRESS: "suppressed"}
_STATUSES = {
    "cancelled": Status.CANCELLED,
    "digested": Status.DIGESTED,
    "suppressed": Status.SUPPRESSED,
    "expired": Status.EXPIRED,
}


class Flusher:
    """One of any number."""

    def __init__(
        self,
        pool: Pool,
        codec: Codec,
        producer: AsyncProducer,
        catalogue: Catalogue,
        directory: UserDirectory,
        settings: SchedulerSettings,
        health: Health,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._pool = pool
        self._codec = codec
        self._producer = producer
        self._catalogue = catalogue
        self._directory = directory
        self._settings = settings
        self._health = health
        self._metrics = metrics
        self._clock = clock

    async def run(self) -> None:
        """Send until cancelled; waits while a server is away."""
        while True:
            await until_available("digests", self.tick, away=TRY_AGAIN, health=self._health)
            await asyncio.sleep(self._settings.tick * random.uniform(0.8, 1.2))

    async def tick(self) -> None:
        """Settle and send all that is due.

        Raises:
            one of `TRY_AGAIN`: what is settled stays so; call it again.
        """
        with reachable():
            while await self._seal():
                pass
            while await self._send():
                pass

    async def _seal(self) -> int:
        """Settle what is due: an item that its recipient does not want any more is left out."""
        async with self._pool.acquire() as connection, connection.transaction():
            now = self._clock()
            due = await digests.lock_due(connection, now, AT_ONCE)
            if due:
                users = await self._directory.load({digest.recipient_id for digest in due})
                settled = [self._settle(item, users[d.recipient_id], now) for d in due for item in d.items]
                await digests.seal(connection, due, settled, now)
            return len(due)

    def _settle(self, item: Collected, user: UserSnapshot, now: int) -> Settled:
        deferred = self._codec.decode_deferred(item.record)
        event = deferred.event
        held = stopped_meanwhile(event, parse_data(event.data), deferred.channel, user, self._catalogue, now)
        if held is None:
            return Settled(item.notification_id, "digested", Reason.DIGEST, "digest")
        return Settled(item.notification_id, _VERDICTS[held.verdict], held.reason, held.rule)

    async def _send(self) -> int:
        """Write the records of what is settled: the digests themselves, then what became of their items."""
        async with self._pool.acquire() as connection, connection.transaction():
            sealed = await digests.lock_sealed(connection, AT_ONCE)
            if sealed:
                events = [record for digest in sealed if (record := self._event(digest)) is not None]
                await self._producer.send_all(events)
                await self._producer.send_all([record for digest in sealed for record in self._statuses(digest)])
                await digests.finish(connection, sealed)
                for digest in sealed:
                    self._metrics.digests.labels(digest.channel).inc()
            return len(sealed)

    def _event(self, digest: Full) -> Record | None:
        """None where no item is left."""
        members = [item for item in digest.items if item.verdict == "digested"]
        if not members:
            return None
        event = digest_event(_head(digest), [self._codec.decode_deferred(item.record).event for item in members])
        headers = trace(members[-1].traceparent) or None
        return Record(INGEST, digest.recipient_id.encode(), self._codec.encode_event(event), headers)

    def _statuses(self, digest: Full) -> Sequence[Record]:
        into = _head(digest).notification_id
        key = digest.recipient_id.encode()
        return [
            Record(
                DELIVERY_STATUS,
                key,
                self._codec.encode_status(_status(self._codec.decode_deferred(item.record), item, into)),
                trace(item.traceparent) or None,
            )
            for item in digest.items
        ]


def _status(deferred: Deferred, item: Collected, into: str) -> DeliveryStatus:
    what = _STATUSES[item.verdict or ""]
    return status(
        deferred,
        what,
        Reason(item.reason),
        item.rule,
        milliseconds(item.settled_at or instant(0)),
        into=into if what is Status.DIGESTED else "",
    )


def _head(digest: Full) -> DigestHead:
    return DigestHead(
        str(digest.digest_id),
        digest.recipient_id,
        digest.channel,
        digest.key,
        digest.into_type,
        digest.most_items,
        milliseconds(digest.sealed_at or instant(0)),
    )
