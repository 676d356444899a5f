"""`settle` is the rule of the accounts: every unit is in exactly one state, whatever the topics hold."""

import random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.accounts.facts import DECIDED, Fact, Saying, fact_of_dead_letter
from pipeline.accounts.settle import State, Unit, settle
from pipeline.events.vocabulary import FEEDBACK, TERMINAL, Status, Verdict
from pipeline.kafka.names import ROUTER_GROUP

UNIT = "7f3c7a52-1111-5222-8333-abcdefabcdef"


def decided(verdict: Verdict, at: int = 0) -> Fact:
    return Fact(UNIT, 0, DECIDED, Saying(verdict, "allowed", "push", "high", False), at, at)


def told(status: Status, offset: int, *, at: int | None = None, in_doubt: bool = False) -> Fact:
    said = Saying(status, "accepted", "push", "high", in_doubt)
    return Fact(UNIT, 0, offset, said, offset if at is None else at, 0)


def after_dispatch(*statuses: Status) -> Unit:
    return settle([decided(Verdict.DISPATCH), *(told(status, i) for i, status in enumerate(statuses))])


decisions = st.builds(decided, st.sampled_from(Verdict), st.integers(0, 9))
statuses = st.builds(told, st.sampled_from(Status), st.integers(0, 1000), at=st.integers(0, 9), in_doubt=st.booleans())
histories = st.tuples(
    st.lists(decisions, max_size=4), st.lists(statuses, max_size=8, unique_by=lambda f: f.offset)
).filter(lambda h: bool(h[0] or h[1]))


@given(histories, st.randoms())
def test_the_order_of_reading_does_not_matter(history: tuple[list[Fact], list[Fact]], rng: random.Random) -> None:
    facts = [*history[0], *history[1]]
    shuffled = facts[:]
    rng.shuffle(shuffled)
    assert settle(shuffled) == settle(facts)


@given(histories)
def test_accepted_means_decided_and_not_only_as_a_duplicate(history: tuple[list[Fact], list[Fact]]) -> None:
    accepted = any(f.said.word != Verdict.DUPLICATE for f in history[0])
    state = settle([*history[0], *history[1]]).state
    assert (state in (State.TERMINAL, State.WAITING, State.IN_FLIGHT)) == accepted
    assert (state is State.UNKNOWN) == (not accepted and bool(history[1]))


@given(histories)
def test_terminal_means_that_a_terminal_outcome_was_told(history: tuple[list[Fact], list[Fact]]) -> None:
    unit = settle([*history[0], *history[1]])
    if unit.state in (State.TERMINAL, State.WAITING, State.IN_FLIGHT):
        assert (unit.state is State.TERMINAL) == any(f.said.word in TERMINAL for f in history[1])


@given(histories)
def test_what_a_receipt_tells_moves_nothing_however_early_it_comes(history: tuple[list[Fact], list[Fact]]) -> None:
    if all(f.said.word == Verdict.DUPLICATE for f in history[0]):
        return
    without = settle([*history[0], *(f for f in history[1] if f.said.word not in FEEDBACK)])
    told_of = frozenset(f.said.word for f in history[1] if f.said.word in FEEDBACK)
    whole = settle([*history[0], *history[1]])
    assert whole._replace(repeated=0) == without._replace(repeated=0, feedback=told_of)


@given(histories, st.data())
def test_a_record_written_again_changes_nothing_but_the_count_of_repeats(
    history: tuple[list[Fact], list[Fact]], data: st.DataObject
) -> None:
    if not history[1]:
        return
    again = data.draw(st.sampled_from(history[1]))._replace(offset=2000)
    before, after = settle([*history[0], *history[1]]), settle([*history[0], *history[1], again])
    assert after == before._replace(repeated=before.repeated + 1)


@given(histories)
def test_a_decision_written_again_changes_nothing(history: tuple[list[Fact], list[Fact]]) -> None:
    facts = [*history[0], *history[1]]
    assert settle([*facts, *history[0]]) == settle(facts)


@given(histories)
def test_every_sent_after_the_first_is_a_duplicate_of_one_kind(history: tuple[list[Fact], list[Fact]]) -> None:
    unit = settle([*history[0], *history[1]])
    moments = {f.occurred_at for f in history[1] if f.said.word == Status.SENT}
    assert unit.duplicates_flagged + unit.duplicates_unflagged == max(0, len(moments) - 1)


def test_a_second_terminal_outcome_of_another_kind_is_a_conflict() -> None:
    assert after_dispatch(Status.SENT, Status.FAILED).conflicting
    assert not after_dispatch(Status.SENT, Status.SENT).conflicting
    assert not after_dispatch(Status.SENT, Status.OPENED, Status.BOUNCED).conflicting


def test_a_second_send_is_excused_only_by_its_flag() -> None:
    first, flagged, bare = (
        told(Status.SENT, 1),
        told(Status.SENT, 2, in_doubt=True),
        told(Status.SENT, 3),
    )
    excused = settle([decided(Verdict.DISPATCH), first, flagged])
    assert (excused.duplicates_flagged, excused.duplicates_unflagged) == (1, 0)
    blind = settle([decided(Verdict.DISPATCH), first, bare])
    assert (blind.duplicates_flagged, blind.duplicates_unflagged) == (0, 1)


def test_a_wait_ends_when_it_moves_on() -> None:
    assert after_dispatch(Status.DEFERRED).state is State.WAITING
    assert after_dispatch(Status.DEFERRED, Status.RELEASED).state is State.IN_FLIGHT
    assert after_dispatch(Status.DEFERRED, Status.RELEASED, Status.DEFERRED).state is State.WAITING
    assert after_dispatch(Status.DEAD_LETTERED).state is State.WAITING
    assert after_dispatch(Status.DEAD_LETTERED, Status.REPLAYED).state is State.IN_FLIGHT
    assert after_dispatch(Status.DEAD_LETTERED, Status.FAILED).state is State.TERMINAL


def test_a_release_that_is_told_late_is_still_the_end_of_an_earlier_wait() -> None:
    late = after_dispatch(Status.DEFERRED, Status.DEFERRED, Status.RELEASED)
    assert late.state is State.WAITING
    assert after_dispatch(Status.DEFERRED, Status.DEFERRED, Status.RELEASED, Status.RELEASED).state is State.IN_FLIGHT
    assert after_dispatch(Status.DEFERRED, Status.SENT, Status.RELEASED).state is State.TERMINAL
    assert after_dispatch(Status.DEFERRED, Status.RELEASED, Status.DEAD_LETTERED).state is State.WAITING


def test_a_release_told_twice_ends_one_wait() -> None:
    released = [told(Status.RELEASED, offset, at=50) for offset in (2, 3)]
    waits = [told(Status.DEFERRED, 1, at=1), told(Status.DEFERRED, 4, at=60)]
    assert settle([decided(Verdict.DEFER), *waits, *released]).state is State.WAITING


def test_what_is_in_flight_is_held_by_the_group_that_the_last_decision_names() -> None:
    assert after_dispatch().holder == "notification-push-high"
    assert settle([decided(Verdict.SUPPRESS)]).holder == ROUTER_GROUP
    deferred_then_dispatched = [decided(Verdict.DEFER, at=1), told(Status.RELEASED, 5), decided(Verdict.DISPATCH, at=9)]
    assert settle(deferred_then_dispatched).holder == "notification-push-high"


def test_an_outcome_that_nobody_decided_is_unknown() -> None:
    assert settle([told(Status.SENT, 1)]).state is State.UNKNOWN
    assert settle([decided(Verdict.DUPLICATE), told(Status.SENT, 1)]).state is State.UNKNOWN


def test_a_duplicate_is_no_unit_of_its_own() -> None:
    assert settle([decided(Verdict.DUPLICATE)]).state is State.DUPLICATE
    assert settle([decided(Verdict.DISPATCH), decided(Verdict.DUPLICATE)]).state is State.IN_FLIGHT


def test_an_event_without_channels_is_a_unit_too_and_in_flight_until_its_outcome_is_there() -> None:
    decision = Fact(UNIT, 0, DECIDED, Saying(Verdict.SUPPRESS, "", "", "high", False), 0, 0)
    outcome = Fact(UNIT, 0, 7, Saying(Status.SUPPRESSED, "no_channel", "", "high", False), 0, 0)
    assert settle([decision, outcome, decision]).state is State.TERMINAL
    assert settle([decision]).state is State.IN_FLIGHT


LETTER = fact_of_dead_letter(UNIT, "push", "high", "template_error", 5)


def test_a_replay_that_got_no_further_than_to_say_so_leaves_it_waiting() -> None:
    statuses = [decided(Verdict.DISPATCH), told(Status.DEAD_LETTERED, 0), told(Status.REPLAYED, 1)]
    assert settle([*statuses, LETTER]).state is State.WAITING
    assert settle(statuses).state is State.IN_FLIGHT, "once the dead letter is marked, somebody must have it"


def test_a_dispatch_that_its_worker_could_not_read_waits_in_its_dead_letter() -> None:
    assert settle([decided(Verdict.DISPATCH), LETTER]).state is State.WAITING


@given(histories)
def test_an_open_dead_letter_changes_nothing_but_that_what_was_in_flight_waits(
    history: tuple[list[Fact], list[Fact]],
) -> None:
    facts = [*history[0], *history[1]]
    without, with_it = settle(facts), settle([*facts, LETTER])
    if without.state is State.IN_FLIGHT:
        assert (with_it.state, with_it.outcome, with_it.holder) == (State.WAITING, LETTER, "")
    else:
        assert with_it == without


def test_an_event_that_was_dropped_before_it_was_decided_is_rejected_and_no_riddle() -> None:
    dropped = Fact(UNIT, 0, 4, Saying(Status.FAILED, "dropped", "", "high", False), 0, 0)
    assert settle([dropped]).state is State.REJECTED
    assert settle([LETTER]).state is State.REJECTED
    assert settle([told(Status.FAILED, 4)]).state is State.UNKNOWN
