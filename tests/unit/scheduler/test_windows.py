"""Which digest an item joins: every item one, no window longer than it may be, the same whatever the batches."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.catalogue.collapse import CollapseKey
from pipeline.catalogue.model import Digest, DigestMode
from pipeline.scheduler.windows import Folded, Item, Window, fold

T = 1_790_000_000_000
MINUTE = 60_000


def spec(mode: DigestMode = DigestMode.FIXED, flush_at: int | None = None) -> Digest:
    return Digest(
        "many", CollapseKey(""), mode, 10 * MINUTE, (10 if mode is DigestMode.FIXED else 25) * MINUTE, 5, flush_at
    )


def items(*minutes: float) -> list[Item]:
    return [Item(f"n{i}", T + int(minute * MINUTE)) for i, minute in enumerate(minutes)]


def fold_in_batches(items: list[Item], how: Digest, cuts: list[int]) -> Folded:
    """As the intake does it, batch by batch."""
    windows: dict[object, Window] = {}
    digest_of: dict[str, object] = {}
    joinable: Window | None = None
    for begin, end in zip([0, *cuts], [*cuts, len(items)], strict=True):
        folded = fold(joinable, items[begin:end], how)
        windows |= {window.digest_id: window for window in folded.windows}
        digest_of |= folded.digest_of
        joinable = next((w for w in windows.values() if w.joinable), None)
    return Folded(list(windows.values()), digest_of)  # type: ignore[arg-type]  # ids as they are


some_items = st.lists(st.integers(0, 90 * MINUTE), min_size=1, max_size=60).map(
    lambda steps: [Item(f"n{i}", T + at) for i, at in enumerate(sorted(steps))]
)
specs = st.builds(spec, st.sampled_from(DigestMode), st.none() | st.integers(2, 8))


@settings(deadline=None)
@given(some_items, specs, st.data())
def test_the_digests_are_the_same_however_the_items_come_in_batches(
    given_items: list[Item], how: Digest, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(given_items)), max_size=5)))
    assert fold_in_batches(given_items, how, cuts).digest_of == fold(None, given_items, how).digest_of


@settings(deadline=None)
@given(some_items, specs)
def test_every_item_is_in_one_digest_that_counts_it_and_is_due_behind_it(given_items: list[Item], how: Digest) -> None:
    folded = fold(None, given_items, how)
    windows = {window.digest_id: window for window in folded.windows}
    assert len(windows) == len(folded.windows)
    assert sum(window.joinable for window in folded.windows) <= 1
    assert sum(window.items for window in folded.windows) == len(given_items)
    for item in given_items:
        window = windows[folded.digest_of[item.notification_id]]
        assert window.opened_at <= item.at <= window.due_at <= window.opened_at + how.longest
        assert how.flush_at is None or window.items <= how.flush_at


def test_a_fixed_window_runs_from_its_first_item() -> None:
    folded = fold(None, items(0, 5, 9.9, 10), spec())
    assert [(w.items, w.due_at - T) for w in folded.windows] == [(3, 10 * MINUTE), (1, 20 * MINUTE)]


def test_a_sliding_window_runs_from_its_last_item_up_to_its_longest_wait() -> None:
    folded = fold(None, items(0, 9, 18, 24), spec(DigestMode.SLIDING))
    assert [(w.items, w.due_at - T) for w in folded.windows] == [(4, 25 * MINUTE)]
    assert fold(None, items(0, 11), spec(DigestMode.SLIDING)).windows[0].items == 1


def test_events_of_one_millisecond_are_told_apart_by_their_ids() -> None:
    folded = fold(None, items(*[3] * 50), spec())
    assert [w.items for w in folded.windows] == [50]


def test_size_ends_a_window_and_the_next_item_opens_another() -> None:
    folded = fold(None, items(0, 0, 0, 0, 0), spec(flush_at=2))
    assert [(w.items, w.joinable, w.due_at - T) for w in folded.windows] == [
        (2, False, 0),
        (2, False, 0),
        (1, True, 10 * MINUTE),
    ]
    assert len({w.digest_id for w in folded.windows}) == 3
