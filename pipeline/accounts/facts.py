"""What the accounts remember of a decision or a status record: small flat rows that can be sorted on disk. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from pipeline.events.ids import notification_id
from pipeline.events.records import Decision, DeliveryStatus
from pipeline.events.vocabulary import Kind, Origin, Status, Verdict

FIRST_TIME = "first_time"
"""The input of a decision that says that a replayed event had not been decided before."""

DECIDED = -1
"""`Fact.offset` of what a decision says."""

OPEN = -2
"""`Fact.offset` of a dead letter that nobody has replayed or dropped."""


class Saying(NamedTuple):
    """What is said about a unit, all of it words of closed lists, so that there are few different ones.

    `word` is a verdict or a status, `channel` empty for an event that never got as far as channels.
    """

    word: str
    reason: str
    channel: str
    priority: str
    in_doubt: bool


class Fact(NamedTuple):
    """One thing that one record says about one unit (event × channel).

    `partition` is that of the record that says it; all records of a unit lie in partitions of one number. `offset` is
    a status record's own, and so the order of a unit's statuses; or `DECIDED`, or `OPEN`. Times in ms.
    """

    notification_id: str
    partition: int
    offset: int
    said: Saying
    occurred_at: int
    created_at: int


class DecidedEvent(NamedTuple):
    """One decision of the router, as a whole. The same twice (routed again after a crash) is one."""

    partition: int
    offset: int
    what: str


def facts_of_decision(decision: Decision, partition: int) -> Iterator[Fact]:
    """One for each channel; one without a channel for a request that has none; none for a cancel."""
    if decision.kind is Kind.CANCEL:
        return
    at, priority = decision.decided_at, decision.priority
    for channel in decision.channels:
        said = Saying(channel.verdict, channel.reason, channel.channel, priority, False)
        yield Fact(channel.notification_id, partition, DECIDED, said, at, at)
    if not decision.channels:
        unit = notification_id(decision.idempotency_key, decision.recipient_id, "")
        verdict = Verdict.DUPLICATE if whole_rule(decision) == Verdict.DUPLICATE else Verdict.SUPPRESS
        yield Fact(unit, partition, DECIDED, Saying(verdict, "", "", priority, False), at, at)


def whole_rule(decision: Decision) -> str:
    """The rule that decided the event as a whole; the router notes it where there is no channel to say it."""
    return str(_input(decision, "rule") or "")


def _input(decision: Decision, name: str) -> object:
    return msgspec.json.decode(decision.inputs, type=dict[str, object]).get(name)


def fact_of_dead_letter(unit: str, channel: str, priority: str, reason: str, at: int) -> Fact:
    """That its dead letter is open. `at` in ms."""
    return Fact(unit, 0, OPEN, Saying(Status.DEAD_LETTERED, reason, channel, priority, False), at, at)


def fact_of_status(status: DeliveryStatus, partition: int, offset: int) -> Fact:
    channel = status.channel or ""
    said = Saying(status.status, status.reason, channel, status.priority, status.in_doubt)
    return Fact(status.notification_id, partition, offset, said, status.occurred_at, status.created_at)


def event_of_decision(decision: Decision) -> DecidedEvent:
    """`what` is ``cancel``, ``duplicate`` (all channels are), ``request``, or the origin of what was decided before."""
    verdicts: set[str] = {channel.verdict for channel in decision.channels} or {whole_rule(decision)}
    what = "duplicate" if verdicts == {Verdict.DUPLICATE} else "request"
    if decision.origin is not Origin.INGEST and not _input(decision, FIRST_TIME):
        what = decision.origin
    return DecidedEvent(decision.partition, decision.offset, "cancel" if decision.kind is Kind.CANCEL else what)
