"""Accepting events: claim the key, produce, and only after Kafka's acknowledgement say so."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from pipeline.events.canonical import Problem
from pipeline.events.codec import Codec
from pipeline.gateway.access import Service
from pipeline.gateway.auth.limits import Limits
from pipeline.gateway.events.claims import Claim, Claims, Standing
from pipeline.gateway.events.ingest import IngestTopic
from pipeline.gateway.events.intake import Submission
from pipeline.gateway.problems import Refused, unavailable
from pipeline.kafka.names import INGEST, Header
from pipeline.kafka.producer import Record
from pipeline.observability.metrics import Metrics
from pipeline.storage.redis import REDIS_AWAY

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_AGAIN_SECONDS = 0.02
"""How often a request looks whether another one with its key has got its acknowledgement."""


_NOT_PAID: tuple[type[Exception], ...] = (Refused, *REDIS_AWAY)


class Accepted(NamedTuple):
    """Kafka has it. `replayed`: it had it before this request came."""

    event_id: str
    replayed: bool


Outcome = Accepted | Refused


OUTCOMES = ("accepted", "replayed", "conflict", "unavailable", "cancelled")
"""Words of the metric."""

MOST_NOTES = 1_000
"""Notes under way that no request waits for."""


class Acceptor:
    """Accepts submissions. `clock` is monotonic, `patience` how long another request's outcome is waited for (s)."""

    def __init__(
        self,
        *,
        codec: Codec,
        claims: Claims,
        topic: IngestTopic,
        limits: Limits,
        metrics: Metrics,
        clock: Callable[[], float],
        patience: float,
    ) -> None:
        self._codec = codec
        self._claims = claims
        self._topic = topic
        self._limits = limits
        self._counters = {word: metrics.gateway_events.labels(word) for word in OUTCOMES}
        self._clock = clock
        self._patience = patience
        self._notes: set[asyncio.Future[None]] = set()

    async def accept(self, submissions: Sequence[Submission], caller: Service) -> list[Outcome]:
        """One outcome for each submission, in order.

        Raises:
            Refused: 503, Kafka is away; 429, the quota is used up. Nothing of it was accepted then.
            one of `REDIS_AWAY`
        """
        self._topic.check()
        if len(submissions) == 1:
            return [await self._accept_one(submissions[0], caller)]
        outcomes: dict[int, Outcome] = {}
        waiting = _first_of_each(submissions)
        deadline = self._clock() + self._patience
        while True:
            taken = await together([self._claims.take(submissions[number]) for number in waiting])
            claims = dict(zip(waiting, taken, strict=True))
            await self._settle(submissions, claims, caller, outcomes)
            waiting = [number for number in waiting if number not in outcomes]
            if not waiting or self._clock() >= deadline:
                break
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        outcomes |= dict.fromkeys(waiting, _under_way())
        return self._in_order(submissions, outcomes)

    async def _accept_one(self, submission: Submission, caller: Service) -> Outcome:
        """The usual case, without the bookkeeping of a list."""
        deadline: float | None = None
        while (outcome := await self._settled(submission, await self._claims.take(submission), caller)) is None:
            now = self._clock()
            deadline = now + self._patience if deadline is None else deadline
            if now >= deadline:
                outcome = _under_way()
                break
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        self._counters[_word(outcome)].inc()
        return outcome

    async def _settled(self, submission: Submission, claim: Claim, caller: Service) -> Outcome | None:
        """None while another request is at it."""
        match claim.standing:
            case Standing.ACCEPTED:
                return Accepted(claim.event_id, replayed=True)
            case Standing.CONFLICT:
                return _conflict()
            case Standing.WAIT:
                return None
        ours = [_under_id(submission, claim.event_id)]
        await self._pay(ours, caller)
        (outcome,) = await self._produce(ours)
        return outcome

    async def cancel(self, submission: Submission) -> None:
        """Produce a cancel; the same twice does no harm, so it is claimed by nobody.

        Raises:
            Refused: 503, Kafka is away.
        """
        self._topic.check()
        if not all(await self._topic.deliver([self._record(submission)])):
            raise unavailable("Kafka did not acknowledge the cancellation.")
        self._counters["cancelled"].inc()

    async def _settle(
        self,
        submissions: Sequence[Submission],
        claims: dict[int, Claim],
        caller: Service,
        outcomes: dict[int, Outcome],
    ) -> None:
        ours: dict[int, Submission] = {}
        for number, claim in claims.items():
            match claim.standing:
                case Standing.ACCEPTED:
                    outcomes[number] = Accepted(claim.event_id, replayed=True)
                case Standing.CONFLICT:
                    outcomes[number] = _conflict()
                case Standing.NEW | Standing.TAKEN_OVER:
                    ours[number] = _under_id(submissions[number], claim.event_id)
        if ours:
            await self._pay(list(ours.values()), caller)
            outcomes |= dict(zip(ours, await self._produce(list(ours.values())), strict=True))

    async def _pay(self, ours: Sequence[Submission], caller: Service) -> None:
        try:
            await self._limits.spend(caller, len(ours))
        except _NOT_PAID:
            await asyncio.wait(self._note(ours, [False] * len(ours)))
            raise

    async def _produce(self, ours: Sequence[Submission]) -> list[Outcome]:
        acknowledged = await self._topic.deliver([self._record(submission) for submission in ours])
        notes = self._note(ours, acknowledged)
        if len(self._notes) > MOST_NOTES:
            await asyncio.wait(notes)
        return [
            Accepted(submission.event.event_id, replayed=False)
            if there
            else unavailable("Kafka did not acknowledge it.")
            for submission, there in zip(ours, acknowledged, strict=True)
        ]

    def _note(self, ours: Sequence[Submission], acknowledged: Sequence[bool]) -> "list[asyncio.Future[None]]":
        """Nobody waits for the notes, unless too many are under way.

        Without one a claim stays pending for a while; then a repeat produces again, which the router notices.
        """
        notes = [self._claims.note(s, accepted=there) for s, there in zip(ours, acknowledged, strict=True)]
        for note in notes:
            self._notes.add(note)
            note.add_done_callback(self._noted)
        return notes

    def _noted(self, note: "asyncio.Future[None]") -> None:
        self._notes.discard(note)
        if note.cancelled() or (error := note.exception()) is None:
            return
        if isinstance(error, REDIS_AWAY):
            logger.warning("an idempotency key stays pending: %s", type(error).__name__)
        else:
            logger.error("an idempotency key stays pending", exc_info=error)

    async def close(self) -> None:
        """Wait for the notes that are under way."""
        await asyncio.gather(*self._notes, return_exceptions=True)

    def _record(self, submission: Submission) -> Record:
        event = submission.event
        headers: list[tuple[str, str | bytes | None]] | None = (
            [(Header.TRACEPARENT, submission.traceparent)] if submission.traceparent else None
        )
        return Record(INGEST, event.recipient_id.encode(), self._codec.encode_event(event), headers)

    def _in_order(self, submissions: Sequence[Submission], outcomes: dict[int, Outcome]) -> list[Outcome]:
        """What stands in a list twice has the first one's outcome."""
        first = {_request(submissions[number]): number for number in outcomes}
        result: list[Outcome] = []
        for number, submission in enumerate(submissions):
            leader = first[_request(submission)]
            outcome = outcomes[leader]
            if number != leader and isinstance(outcome, Accepted):
                outcome = Accepted(outcome.event_id, replayed=True)
            result.append(outcome)
        for word, count in Counter(map(_word, result)).items():
            self._counters[word].inc(count)
        return result


async def together(calls: Sequence[Coroutine[Any, Any, T]]) -> Sequence[T]:
    """All results. One call, the usual case, is awaited as it is: a task costs as much as many a call."""
    return [await calls[0]] if len(calls) == 1 else await asyncio.gather(*calls)


def _first_of_each(submissions: Sequence[Submission]) -> list[int]:
    first: dict[tuple[str, str, str, bytes], int] = {}
    for number, submission in enumerate(submissions):
        first.setdefault(_request(submission), number)
    return list(first.values())


def _request(submission: Submission) -> tuple[str, str, str, bytes]:
    """What makes two submissions the same request."""
    event = submission.event
    return event.kind, event.recipient_id, event.idempotency_key, submission.fingerprint


def _under_id(submission: Submission, event_id: str) -> Submission:
    if submission.event.event_id == event_id:
        return submission
    return submission._replace(event=msgspec.structs.replace(submission.event, event_id=event_id))


def _under_way() -> Refused:
    return unavailable("Another request with this idempotency key is under way.")


def _conflict() -> Refused:
    text = "was used for this recipient with another body: use a new key for another notification"
    return Refused(409, "The idempotency key was used with another body.", [Problem("/idempotency_key", text)])


def _word(outcome: Outcome) -> str:
    if isinstance(outcome, Accepted):
        return "replayed" if outcome.replayed else "accepted"
    return "conflict" if outcome.status == 409 else "unavailable"
