"""Everything the topics say about one event: its decisions and its statuses, and where each channel stands."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from pipeline.accounts.facts import Fact, fact_of_status, facts_of_decision
from pipeline.accounts.settle import settle
from pipeline.accounts.take import open_codec
from pipeline.accounts.words import Decided, tell_channel
from pipeline.config import Settings
from pipeline.errors import MalformedRecord
from pipeline.events.codec import Codec
from pipeline.events.records import ChannelDecision, Decision, DeliveryStatus
from pipeline.events.vocabulary import DOUBT, DOUBT_TEXT, REASON_TEXT, Reason
from pipeline.kafka.names import DECISIONS, DELIVERY_STATUS
from pipeline.kafka.reader import read_topics

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChannelStory:
    """Where one channel of the event stands.

    `state` is a word of `pipeline.accounts.settle.State`, `status` the verdict or status that put it there. `decision` is the last one about
    the channel. `channel` is empty for an event that never got as far as channels. `text` says `reason` in words,
    `doubt` that it was in doubt whether it was sent; empty where it never was. `policy_version` is that of `decision`.
    `explanation` is all that was decided and happened, in sentences, in order of time.
    """

    channel: str
    notification_id: str
    state: str
    status: str
    reason: str
    text: str
    decision: ChannelDecision | None
    doubt: str = ""
    policy_version: str = ""
    explanation: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Story:
    """One event's decisions and statuses, each in order of time and without repeats."""

    event_id: str
    decisions: list[Decision]
    statuses: list[DeliveryStatus]
    channels: list[ChannelStory]

    def to_json(self) -> bytes:
        return msgspec.json.encode(self)


def read_story(settings: Settings, event_id: str, recipient_id: str | None = None, codec: Codec | None = None) -> Story:
    """Look through the decisions and the delivery-status topic; with `recipient_id` only through its partitions.

    Raises:
        Unavailable: Kafka or a topic is not there.
    """
    codec = codec or open_codec(settings.kafka)
    decisions: dict[tuple[int, int], Decision] = {}
    statuses: dict[tuple[str, str, int], tuple[DeliveryStatus, int]] = {}
    for value, _ in _mentions(settings, DECISIONS, event_id, recipient_id):
        if (decision := _read(codec.decode_decision, value)) and decision.event_id == event_id:
            decisions.setdefault((decision.partition, decision.offset), decision)
    for value, offset in _mentions(settings, DELIVERY_STATUS, event_id, recipient_id):
        if (status := _read(codec.decode_status, value)) and status.event_id == event_id:
            statuses.setdefault((status.notification_id, status.status, status.occurred_at), (status, offset))
    decided = sorted(decisions.values(), key=lambda d: d.decided_at)
    told = list(statuses.values())
    return Story(event_id, decided, [status for status, _ in told], _channels(decided, told))


def _mentions(settings: Settings, topic: str, text: str, recipient_id: str | None) -> Iterator[tuple[bytes, int]]:
    """Value and offset of the records that contain `text`: most need not be decoded at all."""
    needle = text.encode()
    key = recipient_id.encode() if recipient_id is not None else None
    for batch in read_topics(settings.kafka, [topic], key=key):
        for message in batch:
            value = message.value()
            if isinstance(value, bytes) and needle in value:
                yield value, message.offset() or 0


def _read(decode: Callable[[bytes | None], T], value: bytes) -> T | None:
    try:
        return decode(value)
    except MalformedRecord:
        return None


def _channels(decisions: list[Decision], told: list[tuple[DeliveryStatus, int]]) -> list[ChannelStory]:
    facts = [fact for decision in decisions for fact in facts_of_decision(decision, 0)]
    facts += [fact_of_status(status, 0, offset) for status, offset in told]
    decided: dict[str, list[Decided]] = {}
    for decision in decisions:
        for channel in decision.channels:
            decided.setdefault(channel.notification_id, []).append(Decided(decision, channel))
    statuses = [status for status, _ in told]
    return [
        _channel(
            [fact for fact in facts if fact.notification_id == unit],
            decided.get(unit, []),
            [status for status in statuses if status.notification_id == unit],
        )
        for unit in dict.fromkeys(fact.notification_id for fact in facts)
    ]


def _channel(facts: list[Fact], decided: list[Decided], statuses: list[DeliveryStatus]) -> ChannelStory:
    unit = settle(facts)
    said = unit.outcome.said
    return ChannelStory(
        channel=said.channel,
        notification_id=unit.outcome.notification_id,
        state=unit.state,
        status=said.word,
        reason=said.reason,
        text=REASON_TEXT[Reason(said.reason)] if said.reason else "",
        decision=decided[-1].channel if decided else None,
        doubt=DOUBT_TEXT.get(said.word, DOUBT) if any(fact.said.in_doubt for fact in facts) else "",
        policy_version=decided[-1].whole.policy_version if decided else "",
        explanation=tell_channel(decided, statuses),
    )
