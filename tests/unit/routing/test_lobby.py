from dataclasses import dataclass
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Origin
from pipeline.routing.incoming import Incoming
from pipeline.routing.lobby import Lobby


@dataclass(frozen=True)
class At:
    partition: int
    offset: int


def event(user: str, partition: int, offset: int) -> Incoming:
    request = NotificationRequested(
        event_id=f"{partition}-{offset}",
        event_type="t",
        recipient_id=user,
        channels=[],
        priority=None,
        data="{}",
        idempotency_key=f"{partition}-{offset}",
        created_at=0,
    )
    return Incoming(cast("Any", At(partition, offset)), request, b"", {}, Origin.INGEST, None, "")


EVENTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.booleans()), max_size=30).map(
    lambda drawn: [(event(user, partition, n), critical) for n, (user, partition, critical) in enumerate(drawn)]
)


@given(EVENTS, st.sets(st.integers(0, 2)))
def test_each_users_events_come_out_in_order_but_for_those_of_partitions_that_went_away(
    events: list[tuple[Incoming, bool]], gone: set[int]
) -> None:
    lobby = Lobby()
    for each, critical in events:
        lobby.add(each, critical=critical)
    lobby.drop(gone)
    left = [each for each, _ in events if each.partition not in gone]
    assert len(lobby) == len(left)
    assert lobby.first_offsets() == {
        p: min(e.offset for e in left if e.partition == p) for p in {e.partition for e in left}
    }
    out = lobby.take_all()
    for user in "abc":
        assert [e for e in out if e.event.recipient_id == user] == [e for e in left if e.event.recipient_id == user]
    assert not lobby
    assert not lobby.first_offsets()
    assert not any(lobby.is_waiting(user) or lobby.is_waiting(user, critical=True) for user in "abc")


@given(EVENTS)
def test_it_knows_whose_events_wait_and_whose_critical_ones(events: list[tuple[Incoming, bool]]) -> None:
    lobby = Lobby()
    for each, critical in events:
        lobby.add(each, critical=critical)
    for user in "abc":
        theirs = [critical for each, critical in events if each.event.recipient_id == user]
        assert lobby.is_waiting(user) == bool(theirs)
        assert lobby.is_waiting(user, critical=True) == any(theirs)
