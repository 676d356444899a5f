from typing import TYPE_CHECKING

import pytest

from pipeline.accounts import take_balance
from pipeline.config import Settings
from pipeline.events.vocabulary import Channel, Priority, Status, Verdict
from pipeline.kafka.names import DELIVERY_STATUS, INGEST, INGEST_DLQ, ROUTER_GROUP, dispatch_topic, worker_group

if TYPE_CHECKING:
    from tests.integration.accounts.conftest import Pen

pytestmark = pytest.mark.broker


def test_empty_topics_are_balanced(settings: Settings) -> None:
    balance = take_balance(settings)
    assert balance.ok
    assert balance.quiet
    assert balance.accepted == 0


def test_every_outcome_is_counted_once_whatever_was_written_twice(settings: Settings, pen: "Pen") -> None:
    for event in ("1", "2", "3"):
        pen.decision(event, offset=int(event))
    pen.decision("1", offset=1)
    pen.decision("1", Verdict.DUPLICATE, offset=9)
    pen.status("1", Status.SENT)
    pen.status("1", Status.SENT)
    pen.status("1", Status.OPENED, at=5)
    pen.status("2", Status.DEAD_LETTERED)
    pen.status("3", Status.DEFERRED)
    pen.status("3", Status.RELEASED, at=2)
    pen.status("3", Status.FAILED, at=3)
    balance = take_balance(settings)
    assert balance.ok
    assert (balance.accepted, balance.terminal, balance.waiting, balance.in_flight) == (3, 2, 1, 0)
    assert (balance.repeated, balance.requests, balance.duplicates) == (1, 3, 1)
    assert balance.count(Status.SENT, Channel.PUSH) == 1
    assert [(o.status, o.count) for o in balance.feedback] == [("opened", 1)]


def test_without_an_outcome_it_is_in_flight_while_its_group_is_behind_and_lost_when_it_is_not(
    settings: Settings, pen: "Pen"
) -> None:
    topic = dispatch_topic(Channel.PUSH, Priority.HIGH)
    pen.decision("1")
    pen.raw(topic, "user-1", b"x")
    balance = take_balance(settings)
    assert balance.ok
    assert (balance.in_flight, balance.unaccounted) == (1, 0)
    assert balance.lag[worker_group(Channel.PUSH, Priority.HIGH)] == 1

    pen.finish(worker_group(Channel.PUSH, Priority.HIGH), topic, dict.fromkeys(range(3), 1))
    lost = take_balance(settings)
    assert not lost.ok
    assert (lost.in_flight, lost.unaccounted) == (0, 1)


def test_nothing_is_called_lost_while_the_router_is_behind(settings: Settings, pen: "Pen") -> None:
    pen.decision("1", Verdict.SUPPRESS)
    pen.raw(INGEST, "user-1", b"x")
    balance = take_balance(settings)
    assert (balance.in_flight, balance.unaccounted, balance.not_routed) == (1, 0, 1)
    pen.finish(ROUTER_GROUP, INGEST, dict.fromkeys(range(3), 1))
    assert take_balance(settings).unaccounted == 1


def test_rejected_records_are_counted_apart(settings: Settings, pen: "Pen") -> None:
    pen.raw(INGEST_DLQ, "user-1", b"not avro")
    balance = take_balance(settings)
    assert balance.ok
    assert (balance.rejected, balance.accepted) == (1, 0)


def test_a_status_that_cannot_be_read_leaves_the_accounts_not_balanced(settings: Settings, pen: "Pen") -> None:
    pen.raw(DELIVERY_STATUS, "user-1", b"not avro")
    assert not take_balance(settings).ok
