"""What a router has read before it decides: the records, and what is known of their users and keys. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.escalation.standing import Standings
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Origin
from pipeline.kafka.producer import Headers
from pipeline.routing.caps import CapHistory
from pipeline.routing.claims import StoredClaim
from pipeline.routing.ruling import Ruling
from pipeline.users.snapshot import UserSnapshot


class IngestRecord(Protocol):
    """What the router needs of a consumed record (aiokafka's `ConsumerRecord` has it)."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Incoming:
    """One decoded ingest record.

    `round` tells what comes again (released, replayed) from the same coming twice; empty for what comes from outside.
    `deferred_at` and `released_at` (ms) are when the wait that it comes from began and was over; 0: not known.
    `first_time`: it was replayed, and had not been decided before. `history` are the headers of the times that it was
    dead-lettered.
    """

    record: IngestRecord
    event: NotificationRequested
    body: bytes
    data: dict[str, object]
    origin: Origin
    traceparent: bytes | None
    trace_id: str
    stale_user: bool = False
    """It is decided on a copy of its user past its time, since the database is away."""
    round: str = ""
    deferred_at: int = 0
    released_at: int = 0
    first_time: bool = False
    history: Headers = field(default_factory=list)
    standings: Standings | None = None
    """How the other channels of the event stood when it was released; only types with steps ask."""

    @property
    def decided_as(self) -> Origin:
        """Who claims its key and who is a duplicate does not depend on whether it was unreadable at first."""
        return Origin.INGEST if self.first_time else self.origin

    @property
    def partition(self) -> int:
        return self.record.partition

    @property
    def offset(self) -> int:
        return self.record.offset

    @property
    def claim_key(self) -> tuple[str, str]:
        return self.event.recipient_id, self.event.idempotency_key

    @property
    def round_key(self) -> tuple[str, str, str]:
        return self.event.recipient_id, self.event.idempotency_key, self.round


@dataclass(frozen=True, slots=True)
class Known:
    """What was read for a chunk. Planning updates it in place.

    Claims are keyed by (recipient, idempotency key), rounds by (recipient, idempotency key, round). `stale` are copies
    past their time, of users who are not among the `users`; who is in neither cannot be found now.
    """

    users: dict[str, UserSnapshot]
    histories: dict[str, CapHistory]
    claims: dict[tuple[str, str], StoredClaim | None]
    stale: dict[str, UserSnapshot] = field(default_factory=dict)
    rounds: dict[tuple[str, str, str], StoredClaim | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Routed:
    """One event's ruling, and the moment it was made (for a record routed again: the first time)."""

    incoming: Incoming
    ruling: Ruling
    decided_at: int
