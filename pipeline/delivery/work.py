"""What the engine holds in memory of a partition and of a notification that it works on."""

import asyncio
from collections.abc import Sequence

from pipeline.channels.base import Part, Reserved
from pipeline.delivery.entry import Progress
from pipeline.delivery.ledger import EntryKeys, Found
from pipeline.delivery.offsets import OffsetTracker
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Origin
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import Header
from pipeline.kafka.tracing import header, number_of, origin_of
from pipeline.users.snapshot import UserSnapshot


class Partition:
    """One partition while it is ours. `gone`: nothing more may be started; `drained` is set once nothing is under way.

    `held` are the records that are taken and not finished, `arriving` those of them that are still being looked up:
    nothing has happened to these, so nobody waits for them.
    """

    __slots__ = ("arriving", "committed", "drained", "gone", "held", "number", "tracker")

    def __init__(self, number: int) -> None:
        self.number = number
        self.tracker = OffsetTracker()
        self.committed: int | None = None
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
    that it is in doubt.
    """

    __slots__ = (
        "__weakref__",
        "dispatch",
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

    @property
    def user(self) -> UserSnapshot:
        """The recipient, who is known by the first step on."""
        assert self.recipient is not None
        return self.recipient


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
