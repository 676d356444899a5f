from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery.offsets import OffsetTracker

OFFSETS = st.lists(st.integers(0, 500), unique=True, min_size=1, max_size=60).map(sorted)


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
        assert tracker.committable() == (offsets[prefix - 1] + 1 if prefix else None)
        assert list(tracker.finished_beyond()) == [o for o in offsets[prefix:] if o in finished]
        assert tracker.unfinished() == len(offsets) - len(finished)


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
