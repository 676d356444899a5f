import json

from hypothesis import given
from hypothesis import strategies as st

from pipeline.accounts.balance import MAX_OFFENDERS, Balance, Since, Tally
from pipeline.accounts.facts import DECIDED, DecidedEvent, Fact, Saying
from pipeline.accounts.ledger import Ledger
from pipeline.accounts.settle import settle
from pipeline.events.vocabulary import Status, Verdict

NO_CUT = Since({}, {})


def fact(unit: str, word: str, offset: int = DECIDED, *, at: int = 0, in_doubt: bool = False) -> Fact:
    return Fact(unit, 0, offset, Saying(word, "", "push", "high", in_doubt), at, at)


def balance(facts: list[Fact], *, finished: bool = True, unreadable: int = 0, since: Since = NO_CUT) -> Balance:
    tally = Tally(lambda group: finished, since)
    with Ledger() as ledger:
        ledger.add(facts)
        for unit in ledger.units():
            tally.add(settle(unit))
    return tally.balance(events={}, rejected=0, not_routed=0, unreadable=unreadable, lag={})


units = st.sampled_from(["a", "b", "c", "d", "e"])
any_fact = st.one_of(
    st.builds(fact, units, st.sampled_from(Verdict), at=st.integers(0, 3)),
    st.builds(fact, units, st.sampled_from(Status), st.integers(0, 99), at=st.integers(0, 3), in_doubt=st.booleans()),
)


@given(st.lists(any_fact, max_size=40), st.booleans())
def test_the_equation_holds_for_whatever_the_topics_hold(facts: list[Fact], finished: bool) -> None:
    b = balance(facts, finished=finished)
    accepted = {f.notification_id for f in facts if f.offset == DECIDED and f.said.word != Verdict.DUPLICATE}
    assert b.accepted == len(accepted)
    assert b.accepted == b.terminal + b.waiting + b.in_flight + b.unaccounted
    assert sum(o.count for o in b.outcomes) == b.accepted + b.unknown_units


def test_what_is_in_flight_is_lost_once_its_group_has_finished_everything() -> None:
    under_way = [fact("a", Verdict.DISPATCH)]
    assert balance(under_way, finished=False).ok
    lost = balance(under_way, finished=True)
    assert not lost.ok
    assert (lost.in_flight, lost.unaccounted) == (0, 1)
    assert [(o.notification_id, o.problem) for o in lost.offenders] == [("a", "unaccounted")]


def test_each_kind_of_wrong_makes_the_accounts_not_balanced() -> None:
    dispatch = fact("a", Verdict.DISPATCH)
    assert balance([dispatch, fact("a", Status.SENT, 1)]).ok
    assert not balance([dispatch, fact("a", Status.SENT, 1), fact("a", Status.FAILED, 2)]).ok
    assert not balance([dispatch, fact("a", Status.SENT, 1), fact("a", Status.SENT, 2, at=2)]).ok
    assert not balance([fact("b", Status.SENT, 1)]).ok
    assert not balance([dispatch, fact("a", Status.SENT, 1)], unreadable=1).ok


def test_a_send_again_that_was_flagged_leaves_the_accounts_balanced_and_is_counted() -> None:
    b = balance(
        [fact("a", Verdict.DISPATCH), fact("a", Status.SENT, 1), fact("a", Status.SENT, 2, at=2, in_doubt=True)]
    )
    assert b.ok
    assert b.duplicates_flagged == 1


def test_an_outcome_whose_decision_is_older_than_the_topic_keeps_is_no_error() -> None:
    outcome = [fact("a", Status.SENT, 1, at=5)]
    cut = balance(outcome, since=Since({0: 6}, {}))
    assert cut.ok
    assert (cut.outlived, cut.unknown_units) == (1, 0)
    assert not balance(outcome, since=Since({0: 5}, {})).ok
    assert not balance(outcome, since=Since({1: 6}, {0: 6})).ok


def test_a_decision_whose_outcome_is_older_than_the_topic_keeps_is_no_loss() -> None:
    decision = [fact("a", Verdict.DISPATCH, at=5)]
    cut = balance(decision, since=Since({}, {0: 6}))
    assert cut.ok
    assert (cut.outlived, cut.accepted) == (1, 0)
    assert not balance(decision, since=Since({0: 6}, {0: 5})).ok


def test_the_list_of_offenders_is_bounded_and_the_count_is_not() -> None:
    b = balance([fact(f"u{i}", Status.SENT, i) for i in range(50)])
    assert b.unknown_units == 50
    assert len(b.offenders) == MAX_OFFENDERS


def test_the_json_says_whether_all_is_well() -> None:
    report = json.loads(balance([fact("a", Verdict.DISPATCH), fact("a", Status.SENT, 1)]).to_json())
    assert report["ok"] is True
    assert report["outcomes"] == [{"channel": "push", "status": "sent", "reason": "", "count": 1}]


def test_an_event_routed_twice_is_one_event() -> None:
    with Ledger() as ledger:
        ledger.add([], [DecidedEvent(0, 1, "request"), DecidedEvent(0, 1, "request"), DecidedEvent(1, 1, "cancel")])
        assert ledger.events() == {"request": 1, "cancel": 1}
