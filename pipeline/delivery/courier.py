"""Carries one notification one step: asks the ledger, sends what may be sent, and reports what ended."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from weakref import WeakSet

import msgspec

from pipeline.catalogue.model import InDoubt
from pipeline.channels.base import ChannelSender, Gate, Hold, Part, Permit, Refused
from pipeline.delivery.entry import Closed, Final, Progress, decode_closed, decode_progress, encode
from pipeline.delivery.failures import failures
from pipeline.delivery.ledger import Found, Ledger, Move, State
from pipeline.delivery.observed import Observed
from pipeline.delivery.ports import Clock
from pipeline.delivery.reporter import Reporter
from pipeline.delivery.retry import RetryPolicy
from pipeline.delivery.steps import (
    Results,
    after_send,
    conclude,
    doubt_policy,
    finish,
    next_round,
    settle_doubt,
    stop_before_send,
)
from pipeline.delivery.work import Partition, Work
from pipeline.events.vocabulary import WAITING, Reason, Status
from pipeline.kafka.inbound import Inbound
from pipeline.providers.base import Outcome, SendResult

logger = logging.getLogger(__name__)

LOOK_AGAIN = 0.25
"""Seconds until the ledger is asked again about what another holder has."""

HELD_FOR = 10.0
"""Seconds after which what waits for a circuit looks by itself, should nobody wake it: it may expire meanwhile. With
jitter of as much, so that they do not all look at once."""

STALE_AFTER = 5_000
"""ms of waiting for a circuit after which the user is looked up again: they may have opted out, or moved."""

_STATE = {state: state.encode() for state in State}
_LEASED = Found(State.LEASED, cancelled=False, body=b"", busy_for=0.0)

Parked = float
"""Seconds after which the next step is due."""


class Courier:
    """Delivers for one engine. `finished` is called once for each record that needs nothing any more.

    `room`: works of a closed circuit that may wait in line while others are in use. `hold`: for how many seconds after
    asking the ledger a provider may be called: a process that stood still for longer may have lost the notification to
    another. `in_doubt`: the word of those categories that have one.
    """

    def __init__(
        self,
        sender: ChannelSender,
        gate: Gate,
        ledger: Ledger,
        reporter: Reporter,
        observed: Observed,
        policy: RetryPolicy,
        clock: Clock,
        finished: Callable[[Partition, Inbound], None],
        *,
        room: int,
        hold: float,
        in_doubt: Mapping[str, InDoubt],
    ) -> None:
        self._sender = sender
        self._gate = gate
        self._ledger = ledger
        self._reporter = reporter
        self._observed = observed
        self._policy = policy
        self._clock = clock
        self._on_finished = finished
        self._room = room
        self._held: WeakSet[Work] = WeakSet()
        self._hold = hold
        self._in_doubt = in_doubt

    async def step(self, work: Work) -> Parked | None:
        """Do what can be done now. None: it left the line; else how long it waits at its place."""
        if work.found is None:
            work.found = (await self._ledger.lease([work.keys]))[0]
        found = work.found
        match found.state:
            case State.LEASED | State.IN_DOUBT:
                return await self._open(work, found)
            case State.SENDING:
                work.suspect = True
                return self._look_again(work, min(found.busy_for, LOOK_AGAIN))
            case State.ACCOUNTED:
                self._finished(work)
                return None
            case State.DONE | State.ACCOUNTED_WAITING:
                return await self._closed(work, found)

    async def _open(self, work: Work, found: Found) -> Parked | None:
        """Nobody is sending it. What Redis has forgotten, we may still know."""
        progress = decode_progress(found.body) if found.body else work.progress or Progress(work.rank)
        if progress.rank > work.rank:
            self._finished(work)
            return None
        if found.state is State.LEASED and (found.body or not work.suspect):
            return await self._go_on(work, found, progress)
        if work.progress is None or work.suspect:
            self._observed.taken_over_in_doubt()
        work.suspect = False
        outcome = settle_doubt(progress, self._doubt_policy(work), self._policy, self._clock.now())
        if isinstance(outcome, Final):
            return await self._close(work, found, progress, outcome)
        return await self._go_on(work, found, outcome)

    async def _closed(self, work: Work, found: Found) -> Parked | None:
        """It had ended before: it comes again, or its status was perhaps not written, or all is done."""
        if self._ledger.is_closing(work.keys):
            return self._look_again(work, LOOK_AGAIN)
        closed = decode_closed(found.body)
        if closed.final.status in WAITING and closed.progress.rank < work.rank:
            return await self._go_on(work, found, next_round(closed, work.rank))
        if found.state is State.DONE:
            await self._report(work, closed)
        else:
            self._finished(work)
        return None

    async def _go_on(self, work: Work, found: Found, progress: Progress) -> Parked | None:
        now = self._clock.now()
        if progress.rank != work.rank:
            progress = msgspec.structs.replace(progress, rank=work.rank)
        work.progress = progress
        stop = stop_before_send(work.dispatch, progress, work.user, cancelled=found.cancelled, now=now)
        if stop is None and progress.retry_at > now:
            return (progress.retry_at - now) / 1000
        pending = stop or self._pending(work, progress, now)
        if isinstance(pending, Final):
            return await self._close(work, found, progress, pending)
        return await self._try(work, found, progress, pending)

    def _pending(self, work: Work, progress: Progress, now: int) -> Sequence[Part] | Final:
        """The parts that are neither accepted nor refused, at least one; or why there is none to send."""
        if work.parts is None:
            try:
                work.parts = self._sender.prepare(work.dispatch, work.user)
            except Refused as refused:
                return _refused(progress, refused.reason, refused.detail, now)
            except Exception as error:
                logger.exception("cannot prepare a notification of template %s", work.dispatch.template)
                return _refused(progress, Reason.TEMPLATE_ERROR, type(error).__name__, now)
        if not progress.accepted and not progress.refused:
            return work.parts
        settled = {*progress.accepted, *progress.refused}
        return [part for part in work.parts if part.key not in settled] or conclude(progress, now)

    async def _try(self, work: Work, found: Found, progress: Progress, pending: Sequence[Part]) -> Parked | None:
        permit = await self._gate.admit(work.dispatch, pending, work.reserved)
        if isinstance(permit, Hold):
            return await self._wait(work, found, progress, permit)
        try:
            if self._end_hold(work) > STALE_AFTER:
                return _look_up_anew(work, 0.0)
            return await self._try_under(permit, work, found, progress, pending)
        finally:
            permit.release()

    async def _try_under(
        self, permit: Permit, work: Work, found: Found, progress: Progress, pending: Sequence[Part]
    ) -> Parked | None:
        trying = msgspec.structs.replace(progress, attempts=progress.attempts + 1, retry_at=0)
        body, asked_at, asked_on = encode(trying), self._clock.monotonic(), self._clock.now()
        work.entry = _STATE[State.SENDING] + body
        move = await self._ledger.start(work.keys, found.state, body)
        if move is Move.CANCELLED:
            stop = finish(progress, Status.CANCELLED, Reason.CANCELLED, self._clock.now())
            return await self._close(work, found, progress, stop)
        if move is Move.REFUSED:
            return self._look_again(work, LOOK_AGAIN)
        if work.partition.gone or self._stood_still(asked_at, asked_on):
            await self._ledger.release(work.keys, encode(progress))
            return self._look_again(work, 0.0)
        results = await self._send(permit, work, pending, asked_at + self._policy.time_to_send)
        permit.release()
        return await self._go_on_after(work, found, trying, results)

    async def _go_on_after(self, work: Work, found: Found, trying: Progress, results: Results) -> Parked | None:
        outcome = after_send(trying, results, self._doubt_policy(work), self._policy, self._clock.now())
        wait = None if isinstance(outcome, Final) else outcome
        for failure in failures(trying, results, wait):
            self._observed.retrying(failure.reason)
            await self._reporter.retrying(work, failure, self._clock.now())
        if isinstance(outcome, Final):
            return await self._close(work, found, trying, outcome)
        body = encode(outcome.progress)
        if not await self._ledger.release(work.keys, body):
            return self._look_again(work, LOOK_AGAIN)
        work.progress, work.found, work.entry = outcome.progress, _LEASED, _STATE[State.LEASED] + body
        if not outcome.counted and outcome.seconds:
            self._observed.throttled(outcome.provider)
        return _look_up_anew(work, outcome.seconds)

    async def _wait(self, work: Work, found: Found, progress: Progress, hold: Hold) -> Parked | None:
        """It may not be sent now: it keeps its place, unless that takes too long or it stands in others' way."""
        now = self._clock.now()
        work.progress, work.reserved = progress, hold.reserved
        if hold.reason is Reason.THROTTLED:
            self._observed.throttled(hold.provider)
        if seconds := self._leaves_for(work, progress, hold, now):
            self._end_hold(work)
            stop = finish(progress, Status.DEFERRED, hold.reason, now, until=now + int(seconds * 1000))
            return await self._close(work, found, progress, stop)
        if not hold.by_circuit:
            return hold.seconds
        if work.held_since is None:
            work.held_since = now
            self._held.add(work)
        return HELD_FOR * (1 + self._policy.random())

    def _leaves_for(self, work: Work, progress: Progress, hold: Hold, now: int) -> float:
        """Seconds for which it leaves the line; 0: it stays."""
        if hold.reason is Reason.THROTTLED and hold.seconds > self._policy.parking_limit:
            return hold.seconds
        if hold.aside and hold.by_circuit and work.held_since is None and len(self._held) >= self._room:
            return self._policy.parking_limit
        held_for = 0 if work.held_since is None else (now - work.held_since) / 1000
        return self._policy.parking_limit if progress.accepted and held_for > self._policy.parking_limit else 0.0

    def _end_hold(self, work: Work) -> int:
        """For how long (ms) a circuit had kept it."""
        if work.held_since is None:
            return 0
        held = self._clock.now() - work.held_since
        work.held_since = None
        self._held.discard(work)
        return held

    def _stood_still(self, asked_at: float, asked_on: int) -> bool:
        """Whether the lease may be over before the provider has answered: by either clock, as one may stand still too."""
        return max(self._clock.monotonic() - asked_at, (self._clock.now() - asked_on) / 1000) > self._hold

    def _doubt_policy(self, work: Work) -> InDoubt:
        return doubt_policy(work.dispatch, self._sender.repeat_is_harmless, self._in_doubt.get(work.dispatch.category))

    async def _send(self, permit: Permit, work: Work, pending: Sequence[Part], deadline: float) -> Results:
        repeat = self._doubt_policy(work) is InDoubt.RESEND
        if len(pending) == 1:
            results = [(pending[0].key, await self._send_part(permit, work, pending[0], repeat, deadline))]
        else:
            answers = await asyncio.gather(*(self._send_part(permit, work, part, repeat, deadline) for part in pending))
            results = [(part.key, answer) for part, answer in zip(pending, answers, strict=True)]
        self._observed.tried(results)
        return results

    async def _send_part(self, permit: Permit, work: Work, part: Part, repeat: bool, deadline: float) -> SendResult:
        result = await permit.send(part, repeat=repeat, deadline=deadline)
        if result.outcome is Outcome.INVALID_RECIPIENT:
            await self._prune(work, part, result)
        return result

    async def _prune(self, work: Work, part: Part, result: SendResult) -> None:
        try:
            await self._sender.prune(work.dispatch, part, result)
        except Exception as error:  # noqa: BLE001  # the next notification to that address prunes it
            logger.warning("a dead %s address stays for now: %s", self._sender.channel, error)

    async def _close(self, work: Work, found: Found, progress: Progress, final: Final) -> Parked | None:
        closed = Closed(progress, final)
        body = encode(closed)
        work.entry = _STATE[State.DONE] + body
        if not await self._ledger.close(work.keys, found.state, body):
            return self._look_again(work, 0.0)
        await self._report(work, closed)
        return None

    async def _report(self, work: Work, closed: Closed) -> None:
        await self._reporter.ended(work, closed, lambda: self._finished(work))

    def _finished(self, work: Work) -> None:
        self._on_finished(work.partition, work.record)

    def _look_again(self, work: Work, seconds: float) -> Parked:
        work.found, work.entry = None, b""
        return seconds


def _look_up_anew(work: Work, seconds: float) -> Parked:
    """Before its next step the user is looked up again: the address may have moved, or be suppressed by now."""
    work.recipient = work.parts = None
    return seconds


def _refused(progress: Progress, reason: Reason, detail: str, now: int) -> Final:
    """Nowhere to send to is nobody's mistake; all else that cannot be built is one for a person."""
    status = Status.SUPPRESSED if reason is Reason.NO_ADDRESS else Status.DEAD_LETTERED
    return finish(progress, status, reason, now, error=detail)
