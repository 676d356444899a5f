"""From decoded events to what the router writes: records to produce, claims and counters to keep. Pure.

One `Planner` serves one chunk. Events are decided in order, and each sees what the ones before it claimed and counted.
"""

import msgspec

from pipeline.catalogue.model import Catalogue
from pipeline.config import RouterSettings
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import (
    ChannelDecision,
    Decision,
    Deferred,
    DeliveryStatus,
    Dispatch,
)
from pipeline.events.vocabulary import Channel, Kind, Priority, Reason, Status, Verdict
from pipeline.kafka.names import DECISIONS, DEFERRED, DELIVERY_STATUS, Header, dispatch_topic
from pipeline.kafka.producer import Headers, Record
from pipeline.routing.claims import StoredClaim, next_claim, read_claim, round_claim
from pipeline.routing.decide import decide
from pipeline.routing.incoming import Incoming, Known, Routed
from pipeline.routing.ruling import ChannelRuling, Ruling

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
