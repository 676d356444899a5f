"""Whatever is lost, late, repeated or in the wrong order on the channel: a client gets each entry once, in order."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.realtime.messages import Frame
from pipeline.realtime.track import Track

PAGE = 3


def entry(place: int) -> Frame:
    return Frame("notification", f'"{place}"', place)


def loose(text: str = "x") -> Frame:
    return Frame("notification", text)


def track(after: int | None, most: int = 10, most_bytes: int = 1_000) -> Track:
    made = Track(most, most_bytes)
    if after is not None:
        made.begin(after)
    return made


def places(frames: list[Frame]) -> list[int | None]:
    return [frame.place for frame in frames]


def read(made: Track, inbox: list[Frame]) -> None:
    """Read one page of the inbox as the feed does."""
    assert made.last is not None
    claim = made.ask()
    found = [frame for frame in inbox if (frame.place or 0) > made.last][:PAGE]
    made.answered(claim, found, more=len(found) == PAGE)


def test_what_comes_in_order_needs_no_inbox() -> None:
    made = track(0)
    for place in (1, 2, 3):
        made.offer(entry(place))
    assert not made.behind
    assert places(made.take()) == [1, 2, 3]


def test_a_repeat_is_dropped_and_a_gap_is_filled_from_the_inbox() -> None:
    made = track(4)
    for place in (4, 5, 5, 8):
        made.offer(entry(place))
    assert places(made.take()) == [5]
    assert made.behind
    read(made, [entry(place) for place in range(1, 9)])
    read(made, [entry(place) for place in range(1, 9)])
    assert places(made.take()) == [6, 7, 8]


def test_what_was_published_before_the_client_was_told_its_cursor_is_not_given_twice() -> None:
    made = track(None)
    made.offer(entry(7))
    made.offer(loose())
    made.begin(7)
    assert places(made.take()) == [None]
    made.offer(entry(8))
    assert places(made.take()) == [8]


def test_what_was_published_beyond_the_cursor_meanwhile_is_read() -> None:
    made = track(None)
    made.offer(entry(9))
    made.begin(7)
    assert made.behind
    read(made, [entry(8), entry(9)])
    assert places(made.take()) == [8, 9]


def test_without_a_cursor_the_first_entry_sets_it() -> None:
    made = track(None)
    made.offer(entry(7))
    made.offer(entry(9))
    assert places(made.take()) == [7]
    assert made.behind


def test_an_entry_that_finds_no_room_is_left_to_the_inbox() -> None:
    made = track(0, most=2)
    for place in (1, 2, 3, 4):
        made.offer(entry(place))
    assert not made.overflowed
    assert places(made.take()) == [1, 2]
    assert made.behind


def test_what_is_in_no_inbox_and_finds_no_room_shows_that_the_client_is_too_slow() -> None:
    for made, text in ((track(0, most=2), "x"), (track(0, most_bytes=10), "x" * 6)):
        for _ in range(3):
            made.offer(loose(text))
        assert made.overflowed


def test_one_frame_has_room_however_long_it_is() -> None:
    made = track(0, most_bytes=10)
    made.offer(loose("x" * 1_000))
    assert not made.overflowed


def test_a_place_whose_entry_is_gone_is_looked_for_once() -> None:
    made = track(3)
    made.suspect(5)
    read(made, [])
    assert not made.behind
    assert made.last == 5


def test_what_could_not_be_read_is_still_missing() -> None:
    made = track(3)
    made.offer(entry(5))
    made.failed(made.ask())
    assert made.behind


class Client(RuleBasedStateMachine):
    """Entries are committed in order and published in any order, several times, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.inbox: list[Frame] = []
        self.gone: set[int] = set()
        self.loose = 0
        self.track = track(None, most=4)
        self.track.begin(0)
        self.got: list[Frame] = []
        self.claim: tuple[int, list[Frame], bool] | None = None

    @rule()
    def commit(self) -> None:
        self.inbox.append(entry(len(self.inbox) + 1))

    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        if self.inbox:
            self.track.offer(data.draw(st.sampled_from(self.inbox)))

    @rule()
    def publish_loose(self) -> None:
        self.track.offer(loose(str(self.loose)))
        self.loose += 1

    @rule(data=st.data())
    def archive(self, data: st.DataObject) -> None:
        if self.inbox:
            self.gone.add(data.draw(st.integers(1, len(self.inbox))))

    @rule()
    def subscribe_anew(self) -> None:
        self.track.suspect()

    @rule()
    def sweep(self) -> None:
        if self.track.last is not None and self.track.last < len(self.inbox) and not self.track.behind:
            self.track.suspect(len(self.inbox))

    @rule()
    def take(self) -> None:
        if self.claim is None:
            self.got += self.track.take()

    @precondition(lambda self: self.claim is None and self.track.behind)
    @rule()
    def begin_reading(self) -> None:
        self.got += self.track.take()
        assert self.track.last is not None
        visible = [f for f in self.inbox if f.place not in self.gone and (f.place or 0) > self.track.last]
        self.claim = (self.track.ask(), visible[:PAGE], len(visible) >= PAGE)

    @precondition(lambda self: self.claim is not None)
    @rule(fails=st.booleans())
    def end_reading(self, fails: bool) -> None:
        assert self.claim is not None
        claim, frames, more = self.claim
        if fails:
            self.track.failed(claim)
        else:
            self.track.answered(claim, frames, more=more)
        self.claim = None

    @invariant()
    def nothing_is_given_twice_or_out_of_order(self) -> None:
        given = [frame.place for frame in self.got if frame.place is not None]
        assert given == sorted(set(given))

    def teardown(self) -> None:
        """Left in peace, and swept, the client has all that it can still have."""
        if self.claim is not None:
            self.end_reading(fails=False)
        for _ in range(len(self.inbox) + 5):
            self.take()
            self.sweep()
            if self.track.behind:
                self.begin_reading()
                self.end_reading(fails=False)
        self.take()
        given = {frame.place for frame in self.got}
        assert {frame.place for frame in self.inbox} - given <= self.gone
        if not self.track.overflowed:
            assert [f.data for f in self.got if f.place is None] == [str(number) for number in range(self.loose)]


Client.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestClient = Client.TestCase
