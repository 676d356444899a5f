from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.delivery.lanes import Lanes

Item = tuple[bytes, int]


class LanesMachine(RuleBasedStateMachine):
    """Drives the lanes beside the simplest model: one list for each user."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes: Lanes[Item] = Lanes()
        self.lines: defaultdict[bytes, list[Item]] = defaultdict(list)
        self.under_way: list[Item] = []
        self.parked: dict[bytes, float] = {}
        self.clock = 0.0
        self.serial = 0

    @rule(key=st.sampled_from([b"a", b"b", b"c"]))
    def add(self, key: bytes) -> None:
        self.serial += 1
        self.lanes.add(key, (key, self.serial))
        self.lines[key].append((key, self.serial))

    @rule()
    def take(self) -> None:
        busy = {key for key, _ in self.under_way}
        ready = [line[0] for key, line in self.lines.items() if line and key not in busy and key not in self.parked]
        item = self.lanes.take()
        assert item in ready if ready else item is None
        if item is not None:
            self.under_way.append(item)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(item)
        self.lanes.finish(item[0])
        self.lines[item[0]].remove(item)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), seconds=st.integers(0, 5))
    def park(self, data: st.DataObject, seconds: int) -> None:
        item = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(item)
        self.lanes.park(item[0], self.clock + seconds)
        self.parked[item[0]] = self.clock + seconds

    @rule(seconds=st.integers(0, 3))
    def wake(self, seconds: int) -> None:
        self.clock += seconds
        following = self.lanes.wake(self.clock)
        self.parked = {key: until for key, until in self.parked.items() if until > self.clock}
        if self.parked:
            assert following is not None
            assert following <= min(self.parked.values())

    @rule(remainder=st.integers(0, 2), count=st.none() | st.integers(0, 2))
    def unpark(self, remainder: int, count: int | None) -> None:
        wanted = {key for key in self.parked if self.lines[key][0][1] % 3 == remainder}
        woken = self.lanes.unpark(lambda item: item[1] % 3 == remainder, count)
        assert woken == (len(wanted) if count is None else min(count, len(wanted)))
        first = sorted((self.parked[key], key) for key in wanted)[:woken]
        for _, key in first:
            del self.parked[key]

    @rule(remainder=st.integers(0, 2))
    def drop(self, remainder: int) -> None:
        dropped = self.lanes.drop(lambda item: item[1] % 3 == remainder)
        unwanted = [
            item
            for line in self.lines.values()
            for item in line
            if item[1] % 3 == remainder and item not in self.under_way
        ]
        assert sorted(dropped) == sorted(unwanted)
        for key, line in self.lines.items():
            if line and line[0] in unwanted:
                self.parked.pop(key, None)
            self.lines[key] = [item for item in line if item not in unwanted]

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert len(self.lanes) == sum(map(len, self.lines.values()))

    def teardown(self) -> None:
        """Everything left comes out, each user's items in order: nothing is stuck."""
        for item in self.under_way:
            self.lanes.finish(item[0])
            self.lines[item[0]].remove(item)
        self.lanes.wake(float("inf"))
        out: defaultdict[bytes, list[Item]] = defaultdict(list)
        while (item_ := self.lanes.take()) is not None:
            out[item_[0]].append(item_)
            self.lanes.finish(item_[0])
        assert {k: v for k, v in out.items() if v} == {k: v for k, v in self.lines.items() if v}


TestNothingOvertakesAndNothingIsStuck = LanesMachine.TestCase
TestNothingOvertakesAndNothingIsStuck.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_a_user_with_many_items_delays_another_by_one() -> None:
    lanes: Lanes[str] = Lanes()
    for n in range(5):
        lanes.add(b"hot", f"hot{n}")
    lanes.add(b"cold", "cold")
    first = lanes.take()
    lanes.finish(b"hot")
    assert [first, lanes.take()] == ["hot0", "cold"]
