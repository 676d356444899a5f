"""The balance: every unit counted once, and what is wrong with those that do not add up. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from pipeline.accounts.settle import State, Unit
from pipeline.events.vocabulary import Status

MAX_OFFENDERS = 20

PROBLEM_TEXT = {
    "unaccounted": "accepted, no outcome, and nobody has it any more",
    "conflicting": "two different terminal outcomes",
    "duplicates_unflagged": "sent again without being flagged as in doubt",
    "unknown_units": "has an outcome, but no decision",
}
"""What makes the accounts wrong, in words."""


@dataclass(frozen=True, slots=True, order=True)
class Outcome:
    """How many units of a channel ended, wait or are under way for a reason. `channel` is empty for none."""

    channel: str
    status: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Offender:
    """One unit that does not add up."""

    notification_id: str
    problem: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """``accepted = terminal + waiting + in_flight + unaccounted``, in units (event × channel).

    `unaccounted`: accepted, without an outcome, and the consumer group that should have it has finished everything.
    `conflicting`: two different terminal outcomes. `duplicates_flagged` and `duplicates_unflagged`: each ``sent``
    after a unit's first, by whether it was flagged as in doubt. `unknown_units`: an outcome without a decision.
    `outlived`: neither accepted nor
    unknown, because the record that is missing may be older than its topic keeps. `repeated`: records written twice, which is
    harmless. In events: `requests`, `duplicates` and `cancels` decided, `rejected` (open in the ingest dead-letter topic),
    `not_routed` (not decided yet). `unreadable`: records of our own topics that cannot be read. `lag`: records that
    each consumer group has not finished. `feedback`: units by channel and what came in after ``sent``.
    """

    accepted: int
    terminal: int
    waiting: int
    in_flight: int
    unaccounted: int
    conflicting: int
    duplicates_flagged: int
    duplicates_unflagged: int
    unknown_units: int
    outlived: int
    repeated: int
    requests: int
    duplicates: int
    cancels: int
    rejected: int
    not_routed: int
    unreadable: int
    lag: dict[str, int]
    outcomes: list[Outcome]
    feedback: list[Outcome]
    offenders: list[Offender]

    @property
    def ok(self) -> bool:
        """Whether all is accounted for."""
        wrong = (self.unaccounted, self.conflicting, self.duplicates_unflagged, self.unknown_units, self.unreadable)
        return not any(wrong)

    @property
    def quiet(self) -> bool:
        """Whether nothing is on its way."""
        return not self.in_flight and not self.not_routed and not any(self.lag.values())

    def count(self, status: Status, channel: str | None = None) -> int:
        """Units in that state, of one channel or of all."""
        return sum(o.count for o in self.outcomes if o.status == status and channel in (None, o.channel))

    def to_json(self) -> bytes:
        """A JSON object: the fields, and `ok`."""
        return msgspec.json.encode({"ok": self.ok, **msgspec.to_builtins(self)})


@dataclass(frozen=True, slots=True)
class Since:
    """How far back the topics go where retention has cut them: for each partition the time of its first record (ms).

    A partition of which nothing is left goes back to no time at all: infinity.
    """

    decisions: Mapping[int, float]
    statuses: Mapping[int, float]

    def outlived(self, unit: Unit) -> bool:
        """Whether the record that the unit lacks (its decision, or its outcome) may be older than its topic keeps."""
        fact = unit.outcome
        if unit.state is State.UNKNOWN:
            return fact.created_at < self.decisions.get(fact.partition, float("-inf"))
        return unit.state is State.IN_FLIGHT and fact.occurred_at < self.statuses.get(fact.partition, float("-inf"))


@dataclass(slots=True)
class Tally:
    """Adds up settled units.

    `finished` says whether a consumer group has finished everything, so that what it should have and has no outcome
    is lost. `since` (ms): what is older may have outlived records of its own.
    """

    finished: Callable[[str], bool]
    since: Since = field(default_factory=lambda: Since({}, {}))
    states: Counter[State] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    feedback: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    offenders: list[Offender] = field(default_factory=list)

    def add(self, unit: Unit) -> None:
        """Count one unit. Each unit must come once."""
        said = unit.outcome.said
        if self.since.outlived(unit):
            self.sums["outlived"] += 1
            return
        self.states[unit.state] += 1
        self.sums["repeated"] += unit.repeated
        self.sums["duplicates_flagged"] += unit.duplicates_flagged
        for problem, count in self._problems(unit):
            self.sums[problem] += count
            self._offend(unit, problem)
        if unit.state is not State.DUPLICATE:
            lost = unit.state is State.IN_FLIGHT and self.finished(unit.holder)
            word = "unaccounted" if lost else "in_flight" if unit.state is State.IN_FLIGHT else said.word
            self.outcomes[said.channel, word, said.reason] += 1
        for word in unit.feedback:
            self.feedback[said.channel, word, ""] += 1

    def _problems(self, unit: Unit) -> Iterable[tuple[str, int]]:
        if unit.state is State.IN_FLIGHT and self.finished(unit.holder):
            yield "unaccounted", 1
        if unit.state is State.UNKNOWN:
            yield "unknown_units", 1
        if unit.conflicting:
            yield "conflicting", 1
        if unit.duplicates_unflagged:
            yield "duplicates_unflagged", unit.duplicates_unflagged

    def _offend(self, unit: Unit, problem: str) -> None:
        if len(self.offenders) < MAX_OFFENDERS:
            said = unit.outcome.said
            last = f"{said.channel or 'no channel'}: {said.word} ({said.reason or 'no reason'})"
            text = f"{PROBLEM_TEXT[problem]}; {last}"
            self.offenders.append(Offender(unit.outcome.notification_id, problem, text))

    def balance(
        self, *, events: Mapping[str, int], rejected: int, not_routed: int, unreadable: int, lag: dict[str, int]
    ) -> Balance:
        """The sum of it all; the arguments are what no unit tells."""
        states, sums = self.states, self.sums
        return Balance(
            accepted=states[State.TERMINAL] + states[State.WAITING] + states[State.IN_FLIGHT],
            terminal=states[State.TERMINAL],
            waiting=states[State.WAITING],
            in_flight=states[State.IN_FLIGHT] - sums["unaccounted"],
            unaccounted=sums["unaccounted"],
            conflicting=sums["conflicting"],
            duplicates_flagged=sums["duplicates_flagged"],
            duplicates_unflagged=sums["duplicates_unflagged"],
            unknown_units=sums["unknown_units"],
            outlived=sums["outlived"],
            repeated=sums["repeated"],
            requests=events.get("request", 0),
            duplicates=events.get("duplicate", 0),
            cancels=events.get("cancel", 0),
            rejected=rejected,
            not_routed=not_routed,
            unreadable=unreadable,
            lag=lag,
            outcomes=_rows(self.outcomes),
            feedback=_rows(self.feedback),
            offenders=self.offenders,
        )


def _rows(counts: Counter[tuple[str, str, str]]) -> list[Outcome]:
    return sorted(Outcome(*words, count) for words, count in counts.items())
