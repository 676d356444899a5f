import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.offset_map import Span
from pipeline.delivery.offsets import OffsetTracker

OFFSETS = st.lists(st.integers(0, 500), unique=True, min_size=1, max_size=60).map(sorted)


def covered(spans: list[Span]) -> set[int]:
    return {offset for span in spans for offset in range(*span)}


@given(offsets=OFFSETS, data=st.data())
def test_commits_one_past_the_finished_prefix_whatever_the_holes_and_the_order(
    offsets: list[int], data: st.DataObject
) -> None:
    tracker = OffsetTracker()
    assert all(tracker.started(offset) for offset in offsets)
    finished: set[int] = set()
    for offset in data.draw(st.permutations(offsets)):
        tracker.finished(offset)
        finished.add(offset)
        prefix = next((n for n, o in enumerate(offsets) if o not in finished), len(offsets))
        assert tracker.committable() == (offsets[prefix - 1] + 1 if prefix else offsets[0])
        beyond = covered(tracker.finished_beyond())
        assert beyond & set(offsets) == {o for o in offsets[prefix:] if o in finished}


HOLDERS = st.lists(st.tuples(st.integers(1, 60), st.randoms(use_true_random=False), st.integers(0, 60)), max_size=5)
"""How much each is handed, in which order it finishes it, and how much of it before it vanishes."""


@given(offsets=OFFSETS, holders=HOLDERS)
def test_what_an_earlier_holder_had_finished_is_neither_worked_on_again_nor_forgotten(
    offsets: list[int], holders: list[tuple[int, random.Random, int]]
) -> None:
    finished: set[int] = set()
    known: list[Span] = []
    position = 0
    for handed, order, share in holders:
        tracker = OffsetTracker(known)
        delivered = [offset for offset in offsets if offset >= position][:handed]
        to_do = [offset for offset in delivered if tracker.started(offset)]
        assert to_do == [offset for offset in delivered if offset not in finished]
        order.shuffle(to_do)
        for offset in to_do[:share]:
            tracker.finished(offset)
            finished.add(offset)
        known, position = tracker.finished_beyond(), tracker.committable() or position
        assert {o for o in offsets if o < position} <= finished
        assert {o for o in offsets if o >= position and o in covered(known)} == {o for o in finished if o >= position}
        assert all(a.stop < b.start for a, b in pairwise(known))


@given(first=OFFSETS, second=OFFSETS)
def test_takes_charge_of_an_offset_only_once_and_never_goes_back(first: list[int], second: list[int]) -> None:
    tracker = OffsetTracker()
    for offset in first:
        tracker.started(offset)
    assert [offset for offset in second if tracker.started(offset)] == [o for o in second if o > first[-1]]


def test_a_new_record_does_not_take_back_what_could_be_committed() -> None:
    tracker = OffsetTracker()
    tracker.started(4)
    tracker.finished(4)
    tracker.started(9)
    assert tracker.committable() == 5


def test_what_changes_nothing_asks_for_no_commit() -> None:
    tracker = OffsetTracker()
    tracker.started(4)
    first = tracker.changes
    tracker.started(5)
    assert tracker.changes == first > 0
    tracker.finished(5)
    assert tracker.changes > first
