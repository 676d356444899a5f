"""What the engine holds in memory of a partition and of a notification that it works on."""

import asyncio
from collections.abc import Sequence

from pipeline.channels.base import Part, Reserved
from pipeline.delivery.entry import Progress
from pipeline.delivery.ledger import EntryKeys, Found, State
from pipeline.delivery.offset_map import Memory
from pipeline.delivery.offsets import OffsetTracker
from pipeline.delivery.takeover import Takeover
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Origin
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import Header
from pipeline.kafka.tracing import header, number_of, origin_of
from pipeline.users.snapshot import UserSnapshot


class Partition:
    """One partition while it is ours. `gone`: nothing more may be started; `drained` is set once nothing is under way.

    `held` are the records that are taken and not finished, `arriving` those of them that are still being looked up:
    nothing has happened to these, so nobody waits for them. `works` are the others, by offset. `takeover` is there
    while some records may have been in its last holder's hands. `unclean`: something that had been begun was let go.
    `unopened`: its records, until there is a commit that says that whoever held it before has nothing to do with them;
    None: there is one. `stamp`, `stamped_at`, `complete_at` (ms) and `cramped` belong to `pipeline.delivery.commits`.
    """

    __slots__ = (
        "arriving",
        "complete_at",
        "cramped",
        "drained",
        "gone",
        "held",
        "number",
        "stamp",
        "stamped_at",
        "takeover",
        "tracker",
        "unclean",
        "unopened",
        "works",
    )

    def __init__(self, number: int, memory: Memory | None = None) -> None:
        self.number = number
        self.tracker = OffsetTracker(memory.finished if memory else ())
        self.takeover = Takeover(memory) if memory and memory.epoch else None
        self.unopened: list[Inbound] | None = None if self.takeover else []
        self.works: dict[int, Work] = {}
        self.complete_at = memory.complete_at if memory else 0
        self.stamp: object = None
        self.stamped_at = 0
        self.cramped = False
        self.unclean = False
        self.gone = False
        self.held = 0
        self.arriving = 0
        self.drained = asyncio.Event()

    def hold(self) -> None:
        """A record came."""
        self.held += 1
        self.arriving += 1

    def arrived(self) -> None:
        """A record is looked up."""
        self.arriving -= 1

    def let_go(self) -> None:
        """A record that had arrived is finished, or somebody else's now."""
        self.held -= 1
        self._note_if_drained()

    def leave(self) -> None:
        """It is no longer ours."""
        self.gone = True
        self._note_if_drained()

    def _note_if_drained(self) -> None:
        if self.gone and self.held == self.arriving:
            self.drained.set()


class Work:
    """One record on its way. `found` None: the ledger must be asked (again); `parts` None: not prepared yet;
    `recipient` None: the user could not be looked up yet.

    `held_since`: since when (ms) a circuit keeps it waiting, None while none does; `reserved`: its places in the
    queues of rate limits; `looked_up_at`: when (monotonic, s) the recipient was. `progress` is what we know where Redis knows nothing (any more): a dead letter remembers
    that it is in doubt. `entry` is what we have written, or are about to write, into the ledger: state and body; empty:
    it is as we found it, or another's. `suspect`: where the ledger knows of no try, there may have been one all the same.
    """

    __slots__ = (
        "__weakref__",
        "dispatch",
        "entry",
        "found",
        "held_since",
        "keys",
        "lane",
        "looked_up_at",
        "partition",
        "parts",
        "progress",
        "rank",
        "recipient",
        "record",
        "reserved",
        "suspect",
    )

    def __init__(
        self,
        record: Inbound,
        partition: Partition,
        dispatch: Dispatch,
        keys: EntryKeys,
        recipient: UserSnapshot | None,
        found: Found,
        looked_up_at: float,
    ) -> None:
        self.record = record
        self.partition = partition
        self.dispatch = dispatch
        self.keys = keys
        self.recipient = recipient
        self.looked_up_at = looked_up_at
        self.found: Found | None = found
        self.lane = dispatch.event.recipient_id.encode()
        self.rank = rank_of(record, dispatch)
        doubted = bool(record.headers) and header(record.headers, Header.DLQ_IN_DOUBT) is not None
        self.progress: Progress | None = Progress(self.rank, doubted=True) if doubted else None
        self.parts: Sequence[Part] | None = None
        self.held_since: int | None = None
        self.reserved = Reserved()
        self.entry = b""
        self.suspect = False

    @property
    def user(self) -> UserSnapshot:
        """The recipient, who is known by the first step on."""
        assert self.recipient is not None
        return self.recipient

    @property
    def begun(self) -> bool:
        """Whether it was tried at least once, or may have been; by us or by another."""
        doubted = self.suspect or (self.progress is not None and self.progress.doubted)
        return doubted or self.in_ledger() != b"L"

    def in_ledger(self) -> bytes:
        """State and body of its entry as far as we know, which we would write again; empty where it is another's."""
        if self.entry or self.found is None or self.found.state is State.SENDING:
            return self.entry
        state = State.SENDING if self.found.state is State.IN_DOUBT else self.found.state
        return state.encode() + self.found.body


def rank_of(record: Inbound, dispatch: Dispatch) -> int:
    """Tells a notification that comes again (released, replayed) from the same one delivered twice by Kafka.

    The router decides later each time, and a record routed twice after a crash repeats its first decision's time.
    What is replayed past the router has the old decision in it, and a header that is higher each time; replayed by
    another program than ours, at least a record time of its own.
    """
    if record.headers and origin_of(record.headers) is Origin.REPLAYED:
        return max(dispatch.decided_at, number_of(record.headers, Header.REPLAY_ROUND) or record.timestamp)
    return dispatch.decided_at


def trace_headers(record: Inbound) -> list[tuple[str, str | bytes | None]] | None:
    """What a record about this one passes on."""
    traceparent = header(record.headers, Header.TRACEPARENT) if record.headers else None
    return [(Header.TRACEPARENT, traceparent)] if traceparent else None
