"""Carries one notification one step: asks the ledger, sends what may be sent, and reports what ended."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from pipeline.catalogue.model import InDoubt
from pipeline.channels.base import ChannelSender, Part, Refused
from pipeline.delivery.entry import Closed, Final, Progress, decode_closed, decode_progress, encode
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

_STATE = {state: state.encode() for state in State}
_LEASED = Found(State.LEASED, cancelled=False, body=b"", busy_for=0.0)

Parked = float
"""Seconds after which the next step is due."""


class Courier:
    """Delivers for one engine. `finished` is called once for each record that needs nothing any more.

    `hold`: for how many seconds after asking the ledger a provider may be called: a process that stood still for longer
    may have lost the notification to another. `in_doubt`: the word of those categories that have one.
    """

    def __init__(
        self,
        sender: ChannelSender,
        ledger: Ledger,
        reporter: Reporter,
        observed: Observed,
        policy: RetryPolicy,
        clock: Clock,
        finished: Callable[[Partition, Inbound], None],
        *,
        hold: float,
        in_doubt: Mapping[str, InDoubt],
    ) -> None:
        self._sender = sender
        self._ledger = ledger
        self._reporter = reporter
        self._observed = observed
        self._policy = policy
        self._clock = clock
        self._on_finished = finished
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
        work.suspect = False
        self._observed.taken_over_in_doubt()
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
        results = await self._send(work, pending)
        outcome = after_send(trying, results, self._doubt_policy(work), self._policy, self._clock.now())
        if isinstance(outcome, Final):
            return await self._close(work, found, trying, outcome)
        body = encode(outcome.progress)
        if not await self._ledger.release(work.keys, body):
            return self._look_again(work, LOOK_AGAIN)
        work.progress, work.found, work.entry = outcome.progress, _LEASED, _STATE[State.LEASED] + body
        if outcome.counted:
            self._observed.retrying(outcome.reason)
            await self._reporter.retrying(work, outcome, self._clock.now())
        else:
            self._observed.throttled(outcome.provider)
        return outcome.seconds

    def _stood_still(self, asked_at: float, asked_on: int) -> bool:
        """Whether the lease may be over before the provider has answered: by either clock, as one may stand still too."""
        return max(self._clock.monotonic() - asked_at, (self._clock.now() - asked_on) / 1000) > self._hold

    def _doubt_policy(self, work: Work) -> InDoubt:
        return doubt_policy(work.dispatch, self._sender.repeat_is_harmless, self._in_doubt.get(work.dispatch.category))

    async def _send(self, work: Work, pending: Sequence[Part]) -> Results:
        if len(pending) == 1:
            results = [(pending[0].key, await self._send_part(work, pending[0]))]
        else:
            answers = await asyncio.gather(*(self._send_part(work, part) for part in pending))
            results = [(part.key, answer) for part, answer in zip(pending, answers, strict=True)]
        self._observed.tried(results)
        return results

    async def _send_part(self, work: Work, part: Part) -> SendResult:
        try:
            result = await self._sender.send(work.dispatch, part)
        except Exception as error:
            logger.exception("the %s sender failed; whether it had sent is not known", self._sender.channel)
            result = SendResult(outcome=Outcome.AMBIGUOUS, provider="", error=type(error).__name__)
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


def _refused(progress: Progress, reason: Reason, detail: str, now: int) -> Final:
    """Nowhere to send to is nobody's mistake; all else that cannot be built is one for a person."""
    status = Status.SUPPRESSED if reason is Reason.NO_ADDRESS else Status.DEAD_LETTERED
    return finish(progress, status, reason, now, error=detail)
