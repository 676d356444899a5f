"""Writes what comes in about a notification after it was sent: the one way onto the status topic for all of it."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import cast

from redis.asyncio import Redis

from pipeline.errors import Unavailable
from pipeline.events.codec import Codec
from pipeline.events.references import Feedback, Reference, feedback_status
from pipeline.events.vocabulary import FEEDBACK
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.producer import Record
from pipeline.observability.metrics import Metrics
from pipeline.storage.redis import REDIS_AWAY
from pipeline.storage.scripts import lua
from pipeline.storage.slots import Call, SlotScript

Deliver = Callable[[Sequence[Record]], Awaitable[Sequence[bool]]]
"""Produces records; for each whether Kafka has acknowledged it."""

_DONE = b"D"


class FeedbackWriter:
    """Writes feedback, each piece once for `retention` seconds, in whatever order and however often it comes in.

    A piece is claimed with its time before its record is written, and marked when Kafka has it. Whoever comes in
    between, or after a crash in between, writes the same record again, byte for byte, which all readers recognise.
    """

    def __init__(self, redis: Redis, deliver: Deliver, codec: Codec, metrics: Metrics, *, retention: float) -> None:
        self._deliver = deliver
        self._codec = codec
        self._counts = metrics.feedback
        self._retention_ms = int(retention * 1000)
        self._claim = SlotScript(redis, lua("feedback_claim"))
        self._put = SlotScript(redis, lua("router_put"))

    async def write(self, pieces: Iterable[tuple[Reference, Feedback]]) -> int:
        """Write what is new; how many that were.

        Raises:
            Unavailable: Kafka or Redis is away; some may have been written. Tell it again.
        """
        told = {_key(reference, feedback): (reference, feedback) for reference, feedback in pieces}
        if not told:
            return 0
        try:
            fresh = await self._claimed(told)
            if fresh:
                await self._produce(list(fresh.values()))
                await self._finish(fresh)
        except REDIS_AWAY as error:
            raise Unavailable(f"Redis cannot be reached: {type(error).__name__}") from error
        for reference, feedback in fresh.values():
            self._counts.labels(reference.channel, feedback.status).inc()
        return len(fresh)

    async def _claimed(self, told: dict[str, tuple[Reference, Feedback]]) -> dict[str, tuple[Reference, Feedback]]:
        """Those whose record may not be written yet, each with the time at which it was first told to have happened."""
        calls = [Call((key,), (feedback.occurred_at,)) for key, (_, feedback) in told.items()]
        claims = cast("list[bytes]", await self._claim.ask(calls, (self._retention_ms,)))
        return {
            key: (reference, feedback._replace(occurred_at=int(claim)))
            for (key, (reference, feedback)), claim in zip(told.items(), claims, strict=True)
            if not claim.startswith(_DONE)
        }

    async def _produce(self, pieces: Sequence[tuple[Reference, Feedback]]) -> None:
        records = [
            Record(
                DELIVERY_STATUS,
                reference.recipient_id.encode(),
                self._codec.encode_status(feedback_status(reference, feedback)),
            )
            for reference, feedback in pieces
        ]
        if not all(await self._deliver(records)):
            raise Unavailable("Kafka did not acknowledge a status record in time")

    async def _finish(self, fresh: dict[str, tuple[Reference, Feedback]]) -> None:
        done = {key: _DONE + str(feedback.occurred_at).encode() for key, (_, feedback) in fresh.items()}
        await self._put.tell([Call((key,), (value, self._retention_ms)) for key, value in done.items()])


def _key(reference: Reference, feedback: Feedback) -> str:
    assert feedback.status in FEEDBACK, "anything else would have a part in the balance"
    detail = hashlib.sha256(feedback.detail.encode()).hexdigest()[:32] if feedback.detail else ""
    return f"feedback:{{{reference.notification_id}}}:{feedback.status}:{detail}"
