"""Whether a step goes now, waits on, or is not needed. Pure.

The channels of an event that are no steps go first, together; then each step in its turn. A step waits from when the
nearest turn before it went or will go: a channel that cannot go (no address, opted out) takes no time.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pipeline.catalogue.model import Sign, Step
from pipeline.escalation.standing import Standings
from pipeline.events.vocabulary import Channel, Reason

MOST_SLACK = 60_000
"""Milliseconds that a step may go early, but never more than a tenth of its wait: the step before it may have gone a
moment late, and waiting once more for that would double the records.
"""

_REASONS = {Sign.SEEN: Reason.SEEN, Sign.CLICKED: Reason.CLICKED}


class Wait(NamedTuple):
    """Not yet: ask again at `until` (ms). `after` is the channel that it waits for."""

    until: int
    after: Channel


class Stop(NamedTuple):
    """Not needed: `channel` was enough, since `at` (ms) where that is known."""

    reason: Reason
    channel: Channel
    at: int | None


Judgement = Wait | Stop | None
"""None: it goes."""


def step_of(steps: Sequence[Step], channel: Channel) -> Step | None:
    """The step of a channel; None where it goes first."""
    return next((step for step in steps if step.channel == channel), None)


def in_turn(steps: Sequence[Step], channels: Iterable[Channel]) -> list[Channel]:
    """The channels, those that go first before the steps."""
    turns = {step.channel: turn for turn, step in enumerate(steps, 1)}
    return sorted(channels, key=lambda channel: turns.get(channel, 0))


def turns_before(steps: Sequence[Step], channel: Channel) -> Iterator[list[Channel]]:
    """The turns before a step's, the nearest first; those of the last one are no steps."""
    waiting = [step.channel for step in steps]
    for before in reversed(waiting[: waiting.index(channel)]):
        yield [before]
    yield [other for other in Channel if other not in waiting]


def judge(steps: Sequence[Step], channel: Channel, standings: Standings, now: int) -> Judgement:
    """What becomes of `channel` at `now` (ms), with the other channels of its event standing like that."""
    step = step_of(steps, channel)
    if step is None:
        return None
    turns = [turn for before in turns_before(steps, channel) if (turn := [c for c in before if c in standings])]
    if (stop := _enough(step, turns, standings)) is not None:
        return stop
    if (wait := _wait(step, turns, standings, now)) is not None:
        return wait
    return _not_failed(turns, standings) if step.when_failed else None


def _enough(step: Step, turns: Sequence[Sequence[Channel]], standings: Standings) -> Stop | None:
    signs = [
        Stop(_REASONS[sign], before, at)
        for sign in (Sign.CLICKED, Sign.SEEN)
        if sign in step.unless
        for turn in turns
        for before in turn
        if (at := standings[before].since(sign)) is not None
    ]
    return signs[0] if signs else None


def _wait(step: Step, turns: Sequence[Sequence[Channel]], standings: Standings, now: int) -> Wait | None:
    for turn in turns:
        if going := [(at, before) for before in turn if (at := standings[before].at) is not None]:
            last, before = max(going)
            due = last + step.after
            return Wait(due, before) if due - now > min(step.after // 10, MOST_SLACK) else None
    return None


def _not_failed(turns: Sequence[Sequence[Channel]], standings: Standings) -> Stop | None:
    """It failed where no channel of the turn before was sent; what nobody knows to be sent counts as failed."""
    sent = [before for before in turns[0] if standings[before].sent] if turns else []
    return Stop(Reason.NOT_NEEDED, sent[0], standings[sent[0]].at) if sent else None
