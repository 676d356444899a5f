"""From decoded events to what the router writes: records to produce, claims and counters to keep. Pure.

One `Planner` serves one chunk. Events are decided in order, and each sees what the ones before it claimed and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from pipeline.catalogue.model import Catalogue
from pipeline.config import RouterSettings
from pipeline.escalation.standing import Standings
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import (
    ChannelDecision,
    Decision,
    Deferred,
    DeliveryStatus,
    Dispatch,
    NotificationRequested,
)
from pipeline.events.vocabulary import Channel, Kind, Origin, Priority, Reason, Status, Verdict
from pipeline.kafka.names import DECISIONS, DEFERRED, DELIVERY_STATUS, Header, dispatch_topic
from pipeline.kafka.producer import Headers, Record
from pipeline.routing.caps import CapHistory
from pipeline.routing.claims import StoredClaim, next_claim, read_claim, round_claim
from pipeline.routing.decide import decide
from pipeline.routing.ruling import ChannelRuling, Ruling
from pipeline.users.snapshot import UserSnapshot

STATUS_OF = {
    Verdict.SUPPRESS: Status.SUPPRESSED,
    Verdict.DEFER: Status.DEFERRED,
    Verdict.DIGEST: Status.DEFERRED,
    Verdict.EXPIRE: Status.EXPIRED,
    Verdict.CANCEL: Status.CANCELLED,
}
"""The status record that goes with a verdict. A dispatch gets its own from the worker; a duplicate gets none. What is
collected into a digest waits: it is `digested` when the digest goes out.
"""

_WAITS = (Verdict.DEFER, Verdict.DIGEST)

MOST_SKEW = 60_000
"""Milliseconds by which the scheduler's clock may be ahead of ours and still be believed: it has waited till then, and
deciding by a clock that is behind would send the notification back to wait again and again.
"""

SENDS: tuple[str, str | bytes | None] = (Header.WHEN_USERS_AWAY, "send")
"""Tells the worker that a copy of the user past its time will do, should the database be away when it sends."""

_TOPICS = {(channel, priority): dispatch_topic(channel, priority) for channel in Channel for priority in Priority}
_json = msgspec.json.Encoder().encode


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


class Planner:
    """Decides the events of one chunk and collects what follows from them.

    `records` are to be produced; `claims`, `rounds` and `cancels` are to be stored *before* that; changed histories are in
    `known.histories`.
    """

    def __init__(self, catalogue: Catalogue, settings: RouterSettings, codec: Codec, known: Known) -> None:
        self._catalogue = catalogue
        self._unknown_types = settings.unknown_types
        self._codec = codec
        self._known = known
        self.records: list[Record] = []
        self.claims: dict[tuple[str, str], StoredClaim] = {}
        self.rounds: dict[tuple[str, str, str], StoredClaim] = {}
        self.cancels: list[tuple[str, str]] = []
        self.routed: list[Routed] = []

    def add(self, incoming: Incoming, now: int) -> None:
        """Decide one event at `now` (ms).

        Raises:
            MalformedRecord: the catalogue refuses the event (unknown type, data against its schema).
        """
        event, known = incoming.event, self._known
        stored = known.claims[incoming.claim_key]
        this_round = known.rounds.get(incoming.round_key) if incoming.round else None
        claim = read_claim(stored, incoming.partition, incoming.offset, incoming.decided_as, this_round)
        if claim.earlier:
            now = decided_at = claim.earlier[0].decided_at
        else:
            now = max(now, min(incoming.released_at, now + MOST_SKEW))
            decided_at = max(now, incoming.deferred_at + 1)
        ruling = decide(
            event,
            incoming.data,
            (known.stale if incoming.stale_user else known.users)[event.recipient_id],
            known.histories[event.recipient_id],
            claim,
            self._catalogue,
            now,
            incoming.decided_as,
            self._unknown_types,
            incoming.standings,
        )
        self._claim(incoming, ruling, stored, decided_at)
        routed = Routed(incoming, ruling, decided_at)
        self.routed.append(routed)
        self._emit(routed)

    def refuse(self, incoming: Incoming, reason: Reason) -> None:
        """The catalogue refuses the event. Had it been accepted before it waited, its channels wait for a person now."""
        event = incoming.event
        if not incoming.round:
            return
        entry = (self._catalogue.find(event.event_type) or self._catalogue.default(event.event_type)).entry
        priority = event.priority or entry.priority
        at = max(incoming.deferred_at + 1, incoming.released_at)
        ruling = Ruling(
            kind=event.kind,
            category=entry.category.name,
            stream=entry.category.stream,
            priority=priority,
            template="",
            collapse_key=None,
            expires_at=None,
            rule="refused",
            channels=[],
        )
        for channel in event.channels:
            unit = notification_id(event.idempotency_key, event.recipient_id, channel)
            refused = ChannelRuling(channel, Verdict.SUPPRESS, reason, "refused", unit, "")
            status = self._status(Routed(incoming, ruling, at), Status.DEAD_LETTERED, reason, "refused", refused)
            key = event.recipient_id.encode()
            self.records.append(Record(DELIVERY_STATUS, key, self._codec.encode_status(status)))

    def _claim(self, incoming: Incoming, ruling: Ruling, stored: StoredClaim | None, now: int) -> None:
        claim = next_claim(stored, ruling, incoming.partition, incoming.offset, incoming.decided_as, now)
        if claim is not None:
            self._known.claims[incoming.claim_key] = self.claims[incoming.claim_key] = claim
        if ruling.kind is Kind.CANCEL:
            self.cancels.append(incoming.claim_key)
        elif incoming.round:
            left = round_claim(ruling, incoming.partition, incoming.offset, now)
            self._known.rounds[incoming.round_key] = self.rounds[incoming.round_key] = left

    def _emit(self, routed: Routed) -> None:
        incoming, ruling = routed.incoming, routed.ruling
        key = incoming.event.recipient_id.encode()
        headers: Headers | None = (
            [(Header.TRACEPARENT, incoming.traceparent)] if incoming.traceparent is not None else None
        )
        told = [*(headers or ()), *incoming.history] if incoming.history else headers
        for channel in ruling.channels:
            if channel.verdict is Verdict.DISPATCH:
                value = self._codec.encode_dispatch(self._dispatch(routed, channel), incoming.body)
                topic = _TOPICS[channel.channel, ruling.priority]
                self.records.append(Record(topic, key, value, [*(told or ()), SENDS] if ruling.sends else told))
                continue
            if channel.verdict in _WAITS:
                value = self._codec.encode_deferred(self._deferred(routed, channel), incoming.body)
                self.records.append(Record(DEFERRED, key, value, headers))
            if channel.verdict in STATUS_OF:
                status = self._status(routed, STATUS_OF[channel.verdict], channel.reason, channel.rule, channel)
                self.records.append(Record(DELIVERY_STATUS, key, self._codec.encode_status(status), headers))
        if ruling.unrouted is not None:
            status = self._status(routed, Status.SUPPRESSED, ruling.unrouted, ruling.unrouted, None)
            self.records.append(Record(DELIVERY_STATUS, key, self._codec.encode_status(status), headers))
        if ruling.kind is Kind.CANCEL:
            value = self._codec.encode_deferred(self._no_longer_deferred(routed), incoming.body)
            self.records.append(Record(DEFERRED, key, value, headers))
        value = self._codec.encode_decision(self._decision(routed))
        self.records.append(Record(DECISIONS, key, value, headers))

    def _dispatch(self, routed: Routed, channel: ChannelRuling) -> Dispatch:
        incoming, ruling = routed.incoming, routed.ruling
        return Dispatch(
            notification_id=channel.notification_id,
            channel=channel.channel,
            priority=ruling.priority,
            category=ruling.category,
            stream=ruling.stream,
            template=channel.template,
            collapse_key=ruling.collapse_key,
            expires_at=ruling.expires_at,
            rule=channel.rule,
            policy_version=self._catalogue.policy_version,
            decided_at=routed.decided_at,
            origin=incoming.origin,
            trace_id=incoming.trace_id,
            event=incoming.event,
        )

    def _deferred(self, routed: Routed, channel: ChannelRuling) -> Deferred:
        incoming, ruling = routed.incoming, routed.ruling
        assert channel.until is not None, "a deferral says until when"
        return Deferred(
            notification_id=channel.notification_id,
            channel=channel.channel,
            priority=ruling.priority,
            category=ruling.category,
            until=channel.until,
            reason=channel.reason,
            rule=channel.rule,
            policy_version=self._catalogue.policy_version,
            deferred_at=routed.decided_at,
            stage="router",
            attempts=0,
            trace_id=incoming.trace_id,
            event=incoming.event,
        )

    def _no_longer_deferred(self, routed: Routed) -> Deferred:
        """Tells the scheduler of a cancel, on the topic where it meets it behind all that the cancel is about."""
        incoming, ruling = routed.incoming, routed.ruling
        event = incoming.event
        return Deferred(
            notification_id=notification_id(event.idempotency_key, event.recipient_id, ""),
            channel=event.channels[0] if event.channels else Channel.IN_APP,
            priority=ruling.priority,
            category=ruling.category,
            until=routed.decided_at,
            reason=Reason.CANCELLED,
            rule=ruling.rule,
            policy_version=self._catalogue.policy_version,
            deferred_at=routed.decided_at,
            stage="router",
            attempts=0,
            trace_id=incoming.trace_id,
            event=event,
        )

    def _status(
        self, routed: Routed, status: Status, reason: Reason, rule: str, channel: ChannelRuling | None
    ) -> DeliveryStatus:
        incoming, ruling = routed.incoming, routed.ruling
        event = incoming.event
        return DeliveryStatus(
            notification_id=channel.notification_id
            if channel
            else notification_id(event.idempotency_key, event.recipient_id, ""),
            event_id=event.event_id,
            idempotency_key=event.idempotency_key,
            recipient_id=event.recipient_id,
            event_type=event.event_type,
            category=ruling.category,
            source=event.source,
            channel=channel.channel if channel else None,
            priority=ruling.priority,
            status=status,
            reason=reason,
            rule=rule,
            policy_version=self._catalogue.policy_version,
            provider="",
            provider_message_id="",
            attempt=0,
            in_doubt=False,
            occurred_at=routed.decided_at,
            created_at=event.created_at,
            trace_id=incoming.trace_id,
        )

    def _decision(self, routed: Routed) -> Decision:
        incoming, ruling = routed.incoming, routed.ruling
        event = incoming.event
        return Decision(
            event_id=event.event_id,
            idempotency_key=event.idempotency_key,
            recipient_id=event.recipient_id,
            event_type=event.event_type,
            category=ruling.category,
            source=event.source,
            kind=ruling.kind,
            priority=ruling.priority,
            policy_version=self._catalogue.policy_version,
            decided_at=routed.decided_at,
            origin=incoming.origin,
            partition=incoming.partition,
            offset=incoming.offset,
            trace_id=incoming.trace_id,
            channels=[
                ChannelDecision(
                    channel=c.channel,
                    verdict=c.verdict,
                    reason=c.reason,
                    rule=c.rule,
                    notification_id=c.notification_id,
                    until=c.until,
                    inputs=_json(c.inputs).decode() if c.inputs else "{}",
                )
                for c in ruling.channels
            ],
            inputs=_json(_inputs(incoming, ruling)).decode(),
        )


def _inputs(incoming: Incoming, ruling: Ruling) -> dict[str, object]:
    """Where no channel names its rule, the decision as a whole does: else a duplicate would look like a lost event."""
    inputs = {**ruling.inputs, "user": "stale"} if incoming.stale_user else ruling.inputs
    inputs = {**inputs, "first_time": True} if incoming.first_time else inputs
    return inputs if ruling.channels else {**inputs, "rule": ruling.rule}
