"""What the status topic is told of calls that failed, where the notification goes on. Pure."""

from collections.abc import Iterable
from typing import NamedTuple

from pipeline.delivery.entry import Progress
from pipeline.delivery.steps import Results, Wait
from pipeline.events.vocabulary import Reason
from pipeline.providers.base import Outcome, SendResult


class Failure(NamedTuple):
    """One account's failure in one try."""

    provider: str
    reason: Reason
    attempt: int
    in_doubt: bool


_REASONS = {Outcome.CONFIGURATION: Reason.PROVIDER_CONFIGURATION, Outcome.THROTTLED: Reason.THROTTLED}


def failures(trying: Progress, results: Results, wait: Wait | None) -> list[Failure]:
    """One for each account that failed in this try, in the order of the calls.

    `trying` counts this try. `wait` is set where it will be tried again. What only has to wait (the provider throttles,
    and no other account was asked) has not failed.
    """
    found: dict[tuple[str, Reason], Failure] = {}
    doubted = trying.doubted
    for result in _failed(results, wait):
        doubted = doubted or result.outcome is Outcome.AMBIGUOUS
        reason = _REASONS.get(result.outcome, Reason.PROVIDER_UNAVAILABLE)
        found.setdefault((result.provider, reason), Failure(result.provider, reason, trying.attempts, doubted))
    return list(found.values())


def _failed(results: Results, wait: Wait | None) -> Iterable[SendResult]:
    for _, result in results:
        only_waits = result.held and len({earlier.provider for earlier in result.tried}) == 1
        for earlier in result.tried:
            if not (only_waits and earlier.outcome is Outcome.THROTTLED):
                yield earlier
        if wait and wait.counted and result.outcome in {Outcome.TRANSIENT, Outcome.AMBIGUOUS}:
            yield result
