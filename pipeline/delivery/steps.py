"""What comes next for a notification: every decision of the delivery engine, as functions of what is known. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from pipeline.catalogue.model import InDoubt, Stream
from pipeline.delivery.entry import Closed, Final, Progress
from pipeline.delivery.retry import THROTTLE_WAIT, RetryPolicy
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel, Priority, Reason, Status
from pipeline.providers.base import Outcome, SendResult
from pipeline.users.snapshot import EVERY, UserSnapshot

_TRY_AGAIN = frozenset({Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.AMBIGUOUS})
_REFUSALS = {
    Outcome.INVALID_RECIPIENT: Reason.INVALID_RECIPIENT,
    Outcome.PERMANENT: Reason.REJECTED_BY_PROVIDER,
    Outcome.CONFIGURATION: Reason.PROVIDER_CONFIGURATION,
}
_GRAVITY = [None, *_REFUSALS.values()]
"""Of several refusals the one that says most about what to do names the outcome."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Try again after `seconds`; `counted`: a try was used up, and its status is `retrying`. `provider` asked for it."""

    progress: Progress
    seconds: float
    counted: bool
    reason: Reason
    provider: str


Results = Sequence[tuple[str, SendResult]]
"""The answer for each part (its key) of one try."""


def doubt_policy(dispatch: Dispatch, repeat_is_harmless: bool, said: InDoubt | None) -> InDoubt:
    """In doubt whether a try was accepted: what then. `said` is the word of the category, if it has one.

    What cannot reach anyone twice is always sent again. Without a word, twice is better than never, but for marketing.
    """
    if repeat_is_harmless:
        return InDoubt.RESEND
    if said is not None:
        return said
    urgent = dispatch.priority is Priority.CRITICAL
    return InDoubt.RESEND if urgent or dispatch.stream == Stream.TRANSACTIONAL else InDoubt.PARK


def next_round(closed: Closed, rank: int) -> Progress:
    """Where a notification that was deferred or dead-lettered goes on. A person's replay has all its tries again."""
    before, replayed = closed.progress, closed.final.status is Status.DEAD_LETTERED
    return msgspec.structs.replace(
        before,
        rank=rank,
        attempts=0 if replayed else before.attempts,
        doubted=before.doubted or closed.final.in_doubt,
        refused=(),
        refusal=None,
        error="",
        retry_at=0,
    )


def stop_before_send(
    dispatch: Dispatch, progress: Progress, user: UserSnapshot, *, cancelled: bool, now: int
) -> Final | None:
    """Why it must not be sent (any more); None if it may. What one device has accepted counts as sent."""
    if cancelled:
        return finish(progress, Status.CANCELLED, Reason.CANCELLED, now)
    if dispatch.expires_at is not None and dispatch.expires_at <= now:
        return finish(progress, Status.EXPIRED, Reason.EXPIRED, now)
    if not user.known:
        return finish(progress, Status.SUPPRESSED, Reason.UNKNOWN_RECIPIENT, now)
    if user.suppressions and is_suppressed(user, dispatch.channel, dispatch.stream, now):
        return finish(progress, Status.SUPPRESSED, Reason.ADDRESS_SUPPRESSED, now)
    return None


def settle_doubt(progress: Progress, doubt: InDoubt, policy: RetryPolicy, now: int) -> Progress | Final:
    """What becomes of a try whose holder vanished: once more, a person decides, or it is given up. That try counts."""
    doubted = msgspec.structs.replace(progress, doubted=True)
    if doubt is not InDoubt.RESEND:
        return _give_up(doubted, doubt, now)
    if policy.exhausted(doubted.attempts):
        return finish(doubted, Status.DEAD_LETTERED, Reason.RETRIES_EXHAUSTED, now)
    return doubted


def _give_up(progress: Progress, doubt: InDoubt, now: int) -> Final:
    status = Status.FAILED if doubt is InDoubt.DROP else Status.DEAD_LETTERED
    return finish(progress, status, Reason.IN_DOUBT, now)


def is_suppressed(user: UserSnapshot, channel: Channel, stream: str, now: int) -> bool:
    """Whether the address has come onto the suppression list since the router looked."""
    return any(
        entry.channel == channel
        and entry.stream in (EVERY, "all", stream)
        and (entry.expires_at is None or entry.expires_at > now)
        for entry in user.suppressions
    )


def after_send(progress: Progress, results: Results, doubt: InDoubt, policy: RetryPolicy, now: int) -> Final | Wait:
    """The end of the notification, or how long it waits. `progress` counts this try already."""
    if len(results) == 1 and results[0][1].outcome is Outcome.ACCEPTED and not progress.accepted:
        result = results[0][1]
        doubted = progress.doubted or was_doubtful(result)
        return Final(Status.SENT, Reason.ACCEPTED, result.provider, result.message_id, progress.attempts, doubted, now)
    progress = settle(progress, results)
    again = [result for _, result in results if result.outcome in _TRY_AGAIN]
    return _try_again(progress, again, doubt, policy, now) if again else conclude(progress, now)


def settle(progress: Progress, results: Results) -> Progress:
    """Note what was accepted, refused and left in doubt."""
    for key, result in results:
        if result.outcome is Outcome.ACCEPTED:
            progress = _accepted(progress, key, result)
        elif refusal := _REFUSALS.get(result.outcome):
            progress = _refused(progress, key, result, refusal)
        if was_doubtful(result):
            progress = msgspec.structs.replace(progress, doubted=True)
    return progress


def was_doubtful(result: SendResult) -> bool:
    """Whether some account's answer was lost on the way to this result."""
    if result.outcome is Outcome.AMBIGUOUS:
        return True
    return any(earlier.outcome is Outcome.AMBIGUOUS for earlier in result.tried)


def conclude(progress: Progress, now: int) -> Final:
    """The end where no part is left to try."""
    reason = progress.refusal or Reason.NO_ADDRESS
    status = Status.DEAD_LETTERED if reason is Reason.PROVIDER_CONFIGURATION else Status.FAILED
    return finish(progress, status, reason, now)


def finish(
    progress: Progress, status: Status, reason: Reason, now: int, *, until: int | None = None, error: str = ""
) -> Final:
    """An end; where a part was accepted before, it is `sent` whatever stopped the others."""
    if progress.accepted:
        status, reason, until = Status.SENT, Reason.ACCEPTED, None
    return Final(
        status,
        reason,
        progress.provider,
        progress.message_id,
        progress.attempts,
        progress.doubted,
        now,
        until,
        error or progress.error,
    )


def _try_again(
    progress: Progress, again: Sequence[SendResult], doubt: InDoubt, policy: RetryPolicy, now: int
) -> Final | Wait:
    last = again[-1]
    counted = any(result.outcome is not Outcome.THROTTLED for result in again)
    failed = _failed(progress, last)
    if doubt is not InDoubt.RESEND and any(result.outcome is Outcome.AMBIGUOUS for result in again):
        return _give_up(failed, doubt, now)
    if counted and policy.exhausted(progress.attempts):
        return finish(failed, Status.DEAD_LETTERED, Reason.RETRIES_EXHAUSTED, now)
    reason = Reason.PROVIDER_UNAVAILABLE if counted else last.waits_for or Reason.THROTTLED
    seconds = max(_asked_wait(again), policy.backoff(progress.attempts) if counted else 0.0)
    until = now + int(seconds * 1000)
    if not counted:
        failed = msgspec.structs.replace(failed, attempts=failed.attempts - 1)
    if seconds > policy.parking_limit:
        return finish(failed, Status.DEFERRED, reason, now, until=until)
    return Wait(msgspec.structs.replace(failed, retry_at=until), seconds, counted, reason, last.provider)


def _asked_wait(again: Sequence[SendResult]) -> float:
    return max(
        result.retry_after
        if result.retry_after is not None
        else (THROTTLE_WAIT if result.outcome is Outcome.THROTTLED else 0.0)
        for result in again
    )


def _failed(progress: Progress, result: SendResult) -> Progress:
    if progress.accepted:
        return progress
    return msgspec.structs.replace(progress, provider=result.provider, error=result.error)


def _accepted(progress: Progress, key: str, result: SendResult) -> Progress:
    if progress.accepted:
        return msgspec.structs.replace(progress, accepted=(*progress.accepted, key))
    return msgspec.structs.replace(
        progress, accepted=(key,), provider=result.provider, message_id=result.message_id, error=""
    )


def _refused(progress: Progress, key: str, result: SendResult, refusal: Reason) -> Progress:
    refused = (*progress.refused, key)
    if progress.accepted or _GRAVITY.index(refusal) <= _GRAVITY.index(progress.refusal):
        return msgspec.structs.replace(progress, refused=refused)
    return msgspec.structs.replace(
        progress, refused=refused, refusal=refusal, provider=result.provider, error=result.error
    )
