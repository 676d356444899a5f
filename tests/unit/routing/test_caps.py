from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from pipeline.routing.caps import CapHistory

SCOPE, OTHER = b"social-c", b"security"
MINUTE = 60_000


def id_(number: int) -> bytes:
    return number.to_bytes(16, "big")


@dataclass
class FullHistory:
    """The cap as it is defined, on everything that ever happened: at most `limit` in any span of `window` ms."""

    limit: int
    window: int
    dispatched: list[tuple[int, int]] = field(default_factory=list)

    def recent(self, now: int) -> list[int]:
        return [number for at, number in self.dispatched if at > now - self.window]

    def passes(self, number: int, now: int) -> bool:
        return number in self.recent(now) or len(self.recent(now)) < self.limit

    def count(self, number: int, now: int) -> None:
        if number not in self.recent(now):
            self.dispatched.append((now, number))


def most_in_any_window(times: list[int], window: int) -> int:
    return max((sum(start <= t < start + window for t in times) for start in times), default=0)


routings = st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 8)), max_size=60)
limits = st.integers(1, 4)
windows = st.integers(1, 60)


@given(routings, limits, windows)
def test_the_last_n_entries_decide_as_the_full_history_would(
    routed: list[tuple[int, int]], limit: int, window: int
) -> None:
    model, history, now = FullHistory(limit, window * 1000), CapHistory(), 0
    for pause, number in routed:
        now += pause
        history = CapHistory.unpack(history.pack())
        passes = history.free_at(SCOPE, limit, window, id_(number), now) == now
        assert passes == model.passes(number, now)
        if passes:
            model.count(number, now)
            history.count(SCOPE, limit, window, id_(number), now)
    assert most_in_any_window([at for at, _ in model.dispatched], window * 1000) <= limit


@given(st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 8), st.booleans()), max_size=60), limits, windows)
def test_nothing_else_passes_beyond_the_cap_however_much_critical_was_counted(
    routed: list[tuple[int, int, bool]], limit: int, window: int
) -> None:
    model, history, now = FullHistory(limit, window * 1000), CapHistory(), 0
    counted: set[int] = set()
    for pause, number, critical in routed:
        now += pause
        passes = history.free_at(SCOPE, limit, window, id_(number), now) == now
        if passes and not critical and number not in counted:  # one that was counted is itself, routed again
            assert model.passes(number, now)
        if passes or critical:
            counted.add(number)
            model.count(number, now)
            history.count(SCOPE, limit, window, id_(number), now)


@given(routings, limits, windows)
def test_the_history_stays_bounded(routed: list[tuple[int, int]], limit: int, window: int) -> None:
    history, now = CapHistory(), 0
    for pause, number in routed:
        now += pause
        history.count(SCOPE, limit, window, id_(number), now)
    assert len(history.pack()) <= 1 + limit * 36


def test_what_is_held_may_pass_exactly_when_the_oldest_is_a_window_ago() -> None:
    history = CapHistory()
    history.count(SCOPE, 2, 300, id_(1), 1000)
    history.count(SCOPE, 2, 300, id_(2), 5000)

    free = history.free_at(SCOPE, 2, 300, id_(3), 6000)

    assert free == 1000 + 5 * MINUTE
    assert history.free_at(SCOPE, 2, 300, id_(3), free - 1) == free
    assert history.free_at(SCOPE, 2, 300, id_(3), free) == free


def test_scopes_do_not_count_each_other() -> None:
    history = CapHistory()
    history.count(SCOPE, 1, 300, id_(1), 0)

    assert history.free_at(OTHER, 1, 300, id_(2), 10) == 10


def test_routing_the_same_notification_again_neither_counts_nor_is_held() -> None:
    history = CapHistory()
    history.count(SCOPE, 2, 300, id_(1), 0)
    history.count(SCOPE, 2, 300, id_(1), 10)

    assert history.free_at(SCOPE, 1, 300, id_(1), 20) == 20
    assert history.free_at(SCOPE, 2, 300, id_(2), 20) == 20


def test_a_history_is_written_back_only_if_something_was_counted() -> None:
    history = CapHistory()
    history.count(SCOPE, 1, 300, id_(1), 0)
    loaded = CapHistory.unpack(history.pack())

    loaded.count(SCOPE, 1, 300, id_(1), 10)
    assert not loaded.changed
    loaded.count(OTHER, 1, 300, id_(1), 10)
    assert loaded.changed


def test_it_is_kept_until_the_last_window_is_over() -> None:
    history = CapHistory()
    history.count(SCOPE, 1, 60, id_(1), 0)
    history.count(OTHER, 1, 300, id_(1), 1000)

    assert history.expires_in(2000) == 5 * MINUTE - 1000
    assert history.expires_in(10 * MINUTE) == 0
    assert CapHistory().expires_in(0) == 0


def test_windows_that_are_over_are_not_stored() -> None:
    history = CapHistory()
    history.count(SCOPE, 1, 60, id_(1), 0)
    history.count(OTHER, 1, 60, id_(2), 2 * MINUTE)

    assert len(history.pack()) == 1 + 36


def test_bytes_that_cannot_be_read_count_as_no_history() -> None:
    for raw in (None, b"", b"\x01", b"\x02" + bytes(36), b"\x01" + bytes(35), b"garbage"):
        assert CapHistory.unpack(raw).free_at(SCOPE, 1, 300, id_(1), 7) == 7
        assert CapHistory.unpack(raw).pack() == b""


def test_a_limit_that_was_lowered_holds_at_once() -> None:
    history = CapHistory()
    for number, at in enumerate((0, 10, 20)):
        history.count(SCOPE, 3, 300, id_(number), at)

    assert history.free_at(SCOPE, 1, 300, id_(9), 30) == 20 + 5 * MINUTE
