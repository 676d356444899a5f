"""What the accounts read out of a decision that has no channels."""

import pytest

from pipeline.accounts.facts import event_of_decision, facts_of_decision
from pipeline.events.records import Decision
from pipeline.events.vocabulary import Kind, Origin, Priority


def decision(rule: str, kind: Kind = Kind.REQUEST, origin: Origin = Origin.INGEST, more: str = "") -> Decision:
    return Decision(
        event_id="e",
        idempotency_key="k",
        recipient_id="r",
        event_type="t",
        category="c",
        source="",
        kind=kind,
        priority=Priority.NORMAL,
        policy_version="1",
        decided_at=1,
        origin=origin,
        partition=0,
        offset=0,
        trace_id="",
        channels=[],
        inputs=f'{{"catalogue":"*","rule":"{rule}"{more}}}',
    )


@pytest.mark.parametrize(("rule", "word"), [("duplicate", "duplicate"), ("no_channel", "suppress")])
def test_an_event_without_channels_is_told_from_its_duplicate_by_the_rule(rule: str, word: str) -> None:
    (fact,) = facts_of_decision(decision(rule), 0)
    assert fact.said.word == word
    assert event_of_decision(decision(rule)).what == ("duplicate" if word == "duplicate" else "request")


def test_a_cancel_is_no_unit() -> None:
    assert list(facts_of_decision(decision("cancel_request", Kind.CANCEL), 0)) == []
    assert event_of_decision(decision("cancel_request", Kind.CANCEL)).what == "cancel"


def test_only_what_had_not_been_decided_before_counts_as_a_request() -> None:
    for origin in (Origin.RELEASED, Origin.REPLAYED):
        assert event_of_decision(decision("opted_out", origin=origin)).what == origin
    first = decision("opted_out", origin=Origin.REPLAYED, more=',"first_time":true')
    assert event_of_decision(first).what == "request"
    again = decision("duplicate", origin=Origin.REPLAYED, more=',"first_time":true')
    assert event_of_decision(again).what == "duplicate"
