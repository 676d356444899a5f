"""What a comparison found: counted by channel, type and reason, with a few examples of each kind of difference."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from pipeline.whatif.compare import Compared, Recorded
from pipeline.whatif.outcome import Difference, Outcome, Said

MOST_GROUPS = 5_000
"""Kinds of difference counted apart; event types come from outside, and nobody promises that there are few."""

OTHER_TYPES = "(other types)"


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a group, and what each side said of the channel."""

    event_id: str
    recipient_id: str
    partition: int
    offset: int
    at: datetime
    present: Outcome
    candidate: Outcome


class Group(msgspec.Struct, kw_only=True):
    """All differences of one kind."""

    event_type: str
    channel: str
    fields: tuple[str, ...]
    present: Said
    candidate: Said
    count: int = 0
    examples: list[Example] = []


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How often a channel got a verdict (`reason` with it) on each side."""

    channel: str
    verdict: str
    reason: str
    present: int
    candidate: int


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """How many differences there are of one value of what they are grouped by."""

    name: str
    count: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`since` and `until` bound what was compared. `warm_up`: events before that, decided for the counters alone.

    `decided` are the events that both sides decided, `changed` those with a difference; `unmatched` come from a wait or
    a digest that only one side knows.
    """

    present: str
    candidate: str
    since: datetime | None
    until: datetime
    decided: int
    changed: int
    unmatched: int
    warm_up: int
    unreadable: int
    seconds: float
    events_per_second: float
    peak_memory_mb: float
    outcomes: list[Tally]
    by_channel: list[Shift]
    by_type: list[Shift]
    by_reason: list[Shift]
    differences: list[Group]


class _Kind(NamedTuple):
    event_type: str
    channel: str
    fields: tuple[str, ...]
    sides: tuple[Said, Said]


class Findings:
    """Adds up what is compared, in bounded memory."""

    def __init__(self, examples: int, most_groups: int = MOST_GROUPS) -> None:
        self._examples = examples
        self._most_groups = most_groups
        self._groups: dict[_Kind, Group] = {}
        self._said: tuple[Counter[tuple[str, str, str]], ...] = (Counter(), Counter())
        self.decided = self.changed = self.unmatched = self.unreadable = self.warm_up = 0

    def add(self, compared: Compared) -> list[Difference]:
        """Count it; its differences."""
        if compared.present is None or compared.candidate is None:
            self.unmatched += compared.present is not compared.candidate
            return []
        self.decided += 1
        for counter, side in zip(self._said, (compared.present, compared.candidate), strict=True):
            counter.update((o.channel, o.verdict, o.reason) for o in side)
        if compared.present == compared.candidate:
            return []
        found = compared.differences
        self.changed += bool(found)
        for difference in found:
            self._add(compared.recorded, difference)
        return found

    def groups(self) -> list[Group]:
        """The most frequent first."""
        return sorted(self._groups.values(), key=lambda g: (-g.count, g.event_type, g.channel))

    def outcomes(self) -> list[Tally]:
        present, candidate = self._said
        return [
            Tally(channel=c, verdict=v, reason=r, present=present[c, v, r], candidate=candidate[c, v, r])
            for c, v, r in sorted({*present, *candidate})
        ]

    def _add(self, recorded: Recorded, difference: Difference) -> None:
        kind = _Kind(recorded.event.event_type, difference.channel, difference.fields, difference.sides)
        if kind not in self._groups and len(self._groups) >= self._most_groups:
            kind = kind._replace(event_type=OTHER_TYPES)
        group = self._groups.get(kind)
        if group is None:
            present, candidate = kind.sides
            group = self._groups[kind] = Group(
                event_type=kind.event_type,
                channel=kind.channel,
                fields=kind.fields,
                present=present,
                candidate=candidate,
            )
        group.count += 1
        if group.count <= self._examples:
            group.examples.append(_example(recorded, difference))


def shifts(groups: list[Group]) -> tuple[list[Shift], list[Shift], list[Shift]]:
    """The differences by channel, by event type, and by what became of what."""
    channels, types, reasons = Counter[str](), Counter[str](), Counter[str]()
    for group in groups:
        channels[group.channel or "the event"] += group.count
        types[group.event_type] += group.count
        reasons[f"{words(group.present)} → {words(group.candidate)}"] += group.count
    by_channel, by_type, by_reason = (
        [Shift(name=name, count=n) for name, n in c.most_common()] for c in (channels, types, reasons)
    )
    return by_channel, by_type, by_reason


def words(said: Said) -> str:
    """``dispatch (allowed), high``."""
    reason = f" ({said.reason})" if said.reason else ""
    return f"{said.verdict}{reason}{f', {said.priority}' if said.priority else ''}"


def tell(report: Report, most: int) -> Iterator[str]:
    """The report for people; at most `most` kinds of difference."""
    yield f"policy {report.present} beside policy {report.candidate}: {_span(report)}"
    yield (
        f"{report.decided:,} events decided twice, {report.changed:,} differently; {report.warm_up:,} before them for "
        f"the counters, {report.unmatched:,} of a wait or digest that one side lacks, {report.unreadable:,} unreadable"
    )
    yield (
        f"{report.seconds:.1f} s, {report.events_per_second:,.0f} events/s, "
        f"{report.peak_memory_mb:,.0f} MB of memory at most"
    )
    yield ""
    yield f"{'channel':<10} {'verdict':<10} {'reason':<22} {report.present[:14]:>14} {report.candidate[:14]:>14}"
    for t in report.outcomes:
        yield f"{t.channel or 'the event':<10} {t.verdict:<10} {t.reason:<22} {t.present:>14,} {t.candidate:>14,}"
    for title, found in (("channel", report.by_channel), ("type", report.by_type), ("outcome", report.by_reason)):
        if found:
            yield ""
            yield f"differences by {title}"
            yield from (f"{shift.count:>10,}  {shift.name}" for shift in found[:most])
    yield from _groups(report, most)


def _groups(report: Report, most: int) -> Iterator[str]:
    for group in report.differences[:most]:
        yield ""
        yield f"{group.count:,} × {group.event_type} on {group.channel or 'the event'} ({', '.join(group.fields)})"
        for example in group.examples:
            yield f"    event {example.event_id} for {example.recipient_id} at {example.at.isoformat()}"
            yield f"        {_side(example.present)}"
            yield f"     →  {_side(example.candidate)}"
    if len(report.differences) > most:
        yield ""
        yield f"… and {len(report.differences) - most} more kinds of difference: --json has them all"


def _side(outcome: Outcome) -> str:
    parts = [words(Said(outcome.verdict, outcome.reason, outcome.priority))]
    parts += [f"rule {outcome.rule}"] if outcome.rule else []
    parts += [f"template {outcome.template}"] if outcome.template else []
    parts += [f"until {instant(outcome.until).isoformat()}"] if outcome.until is not None else []
    parts += [msgspec.json.encode(outcome.inputs).decode()] if outcome.inputs else []
    return ", ".join(parts)


def _span(report: Report) -> str:
    since = report.since.isoformat(timespec="seconds") if report.since else "the beginning of the topic"
    return f"{since} to {report.until.isoformat(timespec='seconds')}"


def _example(recorded: Recorded, difference: Difference) -> Example:
    return Example(
        event_id=recorded.event.event_id,
        recipient_id=recorded.event.recipient_id,
        partition=recorded.record.partition,
        offset=recorded.record.offset,
        at=instant(recorded.at),
        present=difference.present,
        candidate=difference.candidate,
    )


def instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
