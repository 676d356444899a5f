"""Writes how a notification ended: first where it goes on (dead letter, deferred), then its status, then the account."""

from collections.abc import Callable

from pipeline.delivery.entry import Closed, encode
from pipeline.delivery.failures import Failure
from pipeline.delivery.ledger import Ledger, State
from pipeline.delivery.observed import Observed
from pipeline.delivery.outbox import Outbox
from pipeline.delivery.outcomes import deferred, final_status, retrying_status
from pipeline.delivery.work import Work, trace_headers
from pipeline.errors import MalformedRecord
from pipeline.events.codec import Codec
from pipeline.events.vocabulary import WAITING, Channel, Reason, Status
from pipeline.kafka.dead_letters import dead_letter
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import DEFERRED, DELIVERY_STATUS, channel_dlq
from pipeline.kafka.producer import Record

_ACCOUNTED, _WAITING = State.ACCOUNTED.encode(), State.ACCOUNTED_WAITING.encode()


class Reporter:
    """Reports for one engine, which reads `topic`."""

    def __init__(
        self, outbox: Outbox, codec: Codec, ledger: Ledger, observed: Observed, channel: Channel, topic: str
    ) -> None:
        self._outbox = outbox
        self._codec = codec
        self._ledger = ledger
        self._observed = observed
        self._dlq = channel_dlq(channel)
        self._topic = topic

    async def ended(self, work: Work, closed: Closed, on_accounted: Callable[[], None]) -> None:
        """Write what the end asks for. Returns when it is on its way; `on_accounted` follows its acknowledgement."""
        final = closed.final
        if final.status is Status.DEAD_LETTERED:
            await self._outbox.deliver(
                self._dead_letter(
                    work.record,
                    final.reason,
                    final.error or final.reason,
                    final.attempt,
                    final.occurred_at,
                    in_doubt=final.in_doubt,
                )
            )
        elif final.status is Status.DEFERRED:
            value = self._codec.encode_deferred(deferred(work.dispatch, final))
            await self._outbox.deliver(Record(DEFERRED, work.lane, value, trace_headers(work.record)))
        self._observed.ended(work.dispatch, final)

        def acknowledged() -> None:
            waiting = encode(closed) if final.status in WAITING else None
            work.entry = _ACCOUNTED if waiting is None else _WAITING + waiting
            self._ledger.account(work.keys, waiting)
            on_accounted()

        await self._outbox.send(
            self._status(work, self._codec.encode_status(final_status(work.dispatch, final))), acknowledged
        )

    async def retrying(self, work: Work, failure: Failure, now: int) -> None:
        """An account failed, and the notification goes on: to the next one, or to its next try."""
        value = self._codec.encode_status(retrying_status(work.dispatch, failure, now))
        await self._outbox.send(self._status(work, value), _nothing)

    async def rejected(
        self, record: Inbound, error: MalformedRecord, now: int, on_accounted: Callable[[], None]
    ) -> None:
        """What cannot be read goes to the dead letters as it is."""
        self._observed.rejected(error.reason)
        await self._outbox.send(self._dead_letter(record, error.reason, str(error), 0, now), on_accounted)

    def _status(self, work: Work, value: bytes) -> Record:
        return Record(DELIVERY_STATUS, work.lane, value, trace_headers(work.record))

    def _dead_letter(
        self, record: Inbound, reason: Reason, error: str, attempts: int, now: int, *, in_doubt: bool = False
    ) -> Record:
        return dead_letter(
            self._dlq,
            key=record.key,
            value=record.value,
            headers=record.headers,
            topic=self._topic,
            partition=record.partition,
            offset=record.offset,
            reason=reason,
            error=error,
            attempts=attempts,
            now=now,
            in_doubt=in_doubt,
        )


def _nothing() -> None:
    """A step on the way: the end has its own acknowledgement."""
