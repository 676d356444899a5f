"""What a decision comes to, channel by channel, and how two of them differ. Pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from pipeline.errors import MalformedRecord
from pipeline.events.vocabulary import Reason, Verdict
from pipeline.routing.ruling import ChannelRuling, Ruling

REFUSE = "refuse"
"""The word for an event that the catalogue refuses (it goes to the dead letters), beside those of `Verdict`."""

NOTHING = "nothing"
"""The word for a channel that the other side decides about, and this one does not know of."""

_GOES_ON = frozenset({Verdict.DISPATCH, Verdict.DEFER, Verdict.DIGEST})


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One channel of an event under one policy; `channel` is empty where the event gets no channel.

    `priority` and `template` are those of what goes on, else empty. `until` in ms; `rule` and `inputs` explain and are
    not compared.
    """

    channel: str
    verdict: str
    reason: str = ""
    priority: str = ""
    template: str = ""
    until: int | None = None
    rule: str = ""
    inputs: dict[str, object] = {}


class Said(NamedTuple):
    """What differences are grouped by, on each side."""

    verdict: str
    reason: str
    priority: str


class Difference(NamedTuple):
    """One channel of one event that the policies do not agree on; `fields` names what differs: the verdict, or else
    what follows from it.
    """

    channel: str
    fields: tuple[str, ...]
    present: Outcome
    candidate: Outcome

    @property
    def sides(self) -> tuple[Said, Said]:
        return said(self.present), said(self.candidate)


def said(outcome: Outcome) -> Said:
    return Said(outcome.verdict, outcome.reason, outcome.priority)


def outcomes(ruling: Ruling) -> list[Outcome]:
    """What a ruling comes to; nothing for a cancel, which is an outcome of what it takes back."""
    if ruling.unrouted is not None:
        return [Outcome(channel="", verdict=Verdict.SUPPRESS, reason=ruling.unrouted, rule=ruling.rule)]
    return [_outcome(ruling, channel) for channel in ruling.channels]


def refused(error: MalformedRecord) -> list[Outcome]:
    """The error names a place in the data and no value."""
    return [Outcome(channel="", verdict=REFUSE, reason=Reason(error.reason), inputs={"error": str(error)})]


def differences(present: Iterable[Outcome], candidate: Iterable[Outcome]) -> Iterator[Difference]:
    """Channel by channel, in the order of their names."""
    ours, theirs = ({o.channel: o for o in side} for side in (present, candidate))
    for channel in sorted({*ours, *theirs}):
        absent = Outcome(channel=channel, verdict=NOTHING)
        one, other = ours.get(channel, absent), theirs.get(channel, absent)
        others = () if one.verdict != other.verdict else ("reason", "priority", "template", "until")
        fields = tuple(f for f in ("verdict", *others) if _differ(one, other, f))
        if fields:
            yield Difference(channel, fields, one, other)


def _differ(one: Outcome, other: Outcome, field: str) -> bool:
    return bool(getattr(one, field) != getattr(other, field))


def _outcome(ruling: Ruling, channel: ChannelRuling) -> Outcome:
    goes_on = channel.verdict in _GOES_ON
    return Outcome(
        channel=channel.channel,
        verdict=channel.verdict,
        reason=channel.reason,
        priority=ruling.priority if goes_on else "",
        template=channel.template if goes_on else "",
        until=channel.until,
        rule=channel.rule,
        inputs=channel.inputs,
    )
