"""The records that travel over the topics, as typed structs. Field names and meanings are those of ``avro/*.avsc``.

All times are integers: milliseconds since the Unix epoch, UTC. Free-form JSON travels as text.
"""

import msgspec

from pipeline.events.vocabulary import Channel, Kind, Origin, Priority, Reason, Status, Verdict


class NotificationRequested(msgspec.Struct, frozen=True, kw_only=True):
    """The canonical event that upstream services produce to ``notifications.ingest``.

    `data` is a JSON object as text. Empty `channels` and a null `priority` leave the choice to the catalogue. A
    `Kind.CANCEL` takes back the request with the same `idempotency_key` and `recipient_id`.
    """

    event_id: str
    event_type: str
    recipient_id: str
    channels: list[Channel]
    priority: Priority | None
    data: str
    idempotency_key: str
    created_at: int
    source: str = ""
    send_at: int | None = None
    expires_at: int | None = None
    collapse_key: str | None = None
    locale: str | None = None
    template: str | None = None
    kind: Kind = Kind.REQUEST


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """One notification to deliver: one event × one channel. It names no address: the worker looks that up."""

    notification_id: str
    channel: Channel
    priority: Priority
    category: str
    stream: str
    template: str
    collapse_key: str | None
    expires_at: int | None
    rule: str
    policy_version: str
    decided_at: int
    origin: Origin
    trace_id: str
    event: NotificationRequested


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """What must wait until `until`; then it goes back through the router, for this one channel."""

    notification_id: str
    channel: Channel
    priority: Priority
    category: str
    until: int
    reason: Reason
    rule: str
    policy_version: str
    deferred_at: int
    stage: str
    attempts: int
    trace_id: str
    event: NotificationRequested


class ChannelDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided for one channel. `until` is set for `Verdict.DEFER`. `inputs` is a JSON object as text."""

    channel: Channel
    verdict: Verdict
    reason: Reason
    rule: str
    notification_id: str
    until: int | None = None
    inputs: str = "{}"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What the router decided about one event, by which rules, on which inputs.

    `partition` and `offset` are those of the ingest record: a record routed twice after a crash leaves the same
    decision twice, and that is how readers tell.
    """

    event_id: str
    idempotency_key: str
    recipient_id: str
    event_type: str
    category: str
    source: str
    kind: Kind
    priority: Priority
    policy_version: str
    decided_at: int
    origin: Origin
    partition: int
    offset: int
    trace_id: str
    channels: list[ChannelDecision]
    inputs: str = "{}"


class DeliveryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome, or one step on the way to it. Holds no address and no content.

    `channel` is null only for an event that never got as far as channels. The same outcome written twice (a crash
    between writing it and committing) is the same record, byte for byte.
    """

    notification_id: str
    event_id: str
    idempotency_key: str
    recipient_id: str
    event_type: str
    category: str
    source: str
    channel: Channel | None
    priority: Priority
    status: Status
    reason: Reason
    rule: str
    policy_version: str
    provider: str
    provider_message_id: str
    attempt: int
    in_doubt: bool
    occurred_at: int
    created_at: int
    trace_id: str
