from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.delivery.crowds import Crowds

SHARE, ROOM = 4, 10
KEYS = st.sampled_from([b"a", b"b", b"c"])
Item = tuple[bytes, int]


class CrowdsMachine(RuleBasedStateMachine):
    """One list for each key: the first of it are in line."""

    def __init__(self) -> None:
        super().__init__()
        self.crowds: Crowds[Item] = Crowds(SHARE, ROOM)
        self.line: defaultdict[bytes, list[Item]] = defaultdict(list)
        self.aside: defaultdict[bytes, list[Item]] = defaultdict(list)
        self.counted: set[Item] = set()
        self.serial = 0

    @rule(key=KEYS, count=st.integers(1, 8))
    def put(self, key: bytes, count: int) -> None:
        for _ in range(count):
            self.serial += 1
            item = (key, self.serial)
            aside = self.crowds.put(key, item)
            if aside is None:
                assert not self.aside[key], "nobody overtakes who waits"
                self.line[key].append(item)
            else:
                self.aside[key].append(item)
                if aside.counted:
                    self.counted.add(item)

    @precondition(lambda self: any(self.line.values()))
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(key for key, line in self.line.items() if line)))
        self.line[key].pop(0)
        entering = [aside.item for aside in self.crowds.leave(key)]
        assert entering == self.aside[key][: len(entering)]
        del self.aside[key][: len(entering)]
        self.counted.difference_update(entering)
        self.line[key] += entering

    @rule(remainder=st.integers(0, 2))
    def drop(self, remainder: int) -> None:
        dropped = [aside.item for aside in self.crowds.drop(lambda item: item[1] % 3 == remainder)]
        expected = [item for waiting in self.aside.values() for item in waiting if item[1] % 3 == remainder]
        assert sorted(dropped) == sorted(expected)
        self.counted.difference_update(dropped)
        for key, waiting in self.aside.items():
            self.aside[key] = [item for item in waiting if item not in dropped]

    @invariant()
    def nobody_has_more_than_their_share_and_memory_is_bounded(self) -> None:
        assert all(len(line) <= SHARE for line in self.line.values())
        waiting = sum(map(len, self.aside.values()))
        assert len(self.crowds) == waiting
        assert waiting - len(self.counted) <= ROOM

    @invariant()
    def nobody_waits_aside_for_ever(self) -> None:
        assert all(self.line[key] for key, waiting in self.aside.items() if waiting)


TestCrowds = CrowdsMachine.TestCase
TestCrowds.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
