"""What has become of one unit (event × channel), from all that the topics say about it. Pure."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from pipeline.accounts.facts import DECIDED, OPEN, Fact, Saying
from pipeline.events.vocabulary import (
    FEEDBACK,
    ON_THE_WAY,
    TERMINAL,
    WAITING,
    Channel,
    Priority,
    Reason,
    Status,
    Verdict,
)
from pipeline.kafka.names import ROUTER_GROUP, worker_group

_DUPLICATE = Verdict.DUPLICATE
_SENT = Status.SENT


class State(StrEnum):
    """Every unit is in exactly one."""

    TERMINAL = "terminal"
    WAITING = "waiting"
    IN_FLIGHT = "in_flight"
    DUPLICATE = "duplicate"
    """Only duplicate events name it: accounted in their decisions alone."""
    REJECTED = "rejected"
    """It was never decided: it waits in the ingest dead-letter topic, or was dropped from it."""
    UNKNOWN = "unknown"
    """It has an outcome, and nobody decided it."""


class Unit(NamedTuple):
    """A settled unit.

    `outcome` is the fact that put it into its state (in flight: the last thing said); `holder` the consumer group that
    has it if it is in flight, else empty. `repeated` counts records that say again what was said. `conflicting`: there
    are two different terminal outcomes. `duplicates_flagged` and `duplicates_unflagged` count each ``sent`` after the
    first, by whether it was flagged as in doubt. `feedback`: what came in after ``sent``.
    """

    state: State
    outcome: Fact
    holder: str
    repeated: int
    conflicting: bool
    duplicates_flagged: int
    duplicates_unflagged: int
    feedback: frozenset[str]


def settle(facts: Sequence[Fact]) -> Unit:
    """Fold the facts of one unit, at least one, in any order."""
    decisions = [f for f in facts if f.offset == DECIDED]
    told = [f for f in facts if f.offset >= 0]
    letters = [f for f in facts if f.offset == OPEN]
    statuses = _distinct(told) if len(told) > 1 else told
    accepted = [f for f in decisions if f.said.word != _DUPLICATE]
    terminals = [f for f in statuses if f.said.word in TERMINAL]
    if accepted:
        state, outcome = _place(accepted, statuses, terminals, letters)
    else:
        state, outcome = _never_accepted(decisions, statuses, letters)
    outcomes = {f.said.word for f in terminals}
    sent = [f for f in terminals if f.said.word == _SENT]
    unflagged = max(0, sum(not f.said.in_doubt for f in sent) - 1)
    said_again = len(terminals) - len(sent) - len(outcomes - {_SENT})
    return Unit(
        state,
        outcome,
        holder=_holder(max(accepted, key=_moment).said) if state is State.IN_FLIGHT else "",
        repeated=len(told) - len(statuses) + said_again,
        conflicting=len(outcomes) > 1,
        duplicates_flagged=max(0, len(sent) - 1) - unflagged,
        duplicates_unflagged=unflagged,
        feedback=frozenset(f.said.word for f in statuses if f.said.word in FEEDBACK),
    )


def _never_accepted(decisions: list[Fact], statuses: list[Fact], letters: list[Fact]) -> tuple[State, Fact]:
    if statuses:
        dropped = not statuses[0].said.channel and statuses[0].said.reason == Reason.DROPPED
        return (State.REJECTED if dropped else State.UNKNOWN), statuses[0]
    return (State.DUPLICATE, max(decisions, key=_moment)) if decisions else (State.REJECTED, letters[-1])


def _place(
    accepted: list[Fact], statuses: list[Fact], terminals: list[Fact], letters: list[Fact]
) -> tuple[State, Fact]:
    """An open dead letter waits whatever was said last: its replay may have got no further than to say so."""
    if terminals:
        return State.TERMINAL, terminals[0]
    steps = [f for f in statuses if f.said.word in WAITING or f.said.word in ON_THE_WAY]
    if waits := _waits(steps):
        return State.WAITING, waits
    if letters:
        return State.WAITING, letters[-1]
    return State.IN_FLIGHT, steps[-1] if steps else max(accepted, key=_moment)


def _waits(steps: list[Fact]) -> Fact | None:
    """What it waits for: a time while it was deferred more often than released, else a person.

    The scheduler tells of a release after Kafka has the released record, lest the accounts see it in nobody's hands; by
    then the router may have deferred it anew. So these two are counted, and their order says nothing.
    """
    deferred = [f for f in steps if f.said.word == Status.DEFERRED]
    if len(deferred) > sum(f.said.word == Status.RELEASED for f in steps):
        return deferred[-1]
    others = [f for f in steps if f.said.word not in (Status.DEFERRED, Status.RELEASED)]
    return others[-1] if others and others[-1].said.word in WAITING else None


def _distinct(told: list[Fact]) -> list[Fact]:
    """In order, without repeats of the very same record (a crash between writing it and committing)."""
    first: dict[tuple[str, int], Fact] = {}
    for fact in sorted(told, key=_offset):
        first.setdefault((fact.said.word, fact.occurred_at), fact)
    return list(first.values())


def _holder(decided: Saying) -> str:
    if decided.word != Verdict.DISPATCH:
        return ROUTER_GROUP
    return worker_group(Channel(decided.channel), Priority(decided.priority))


def _offset(fact: Fact) -> int:
    return fact.offset


def _moment(decided: Fact) -> tuple[int, Saying]:
    return decided.occurred_at, decided.said
