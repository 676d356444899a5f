"""What the topics hold of notifications that do not add up, for whoever looks for the cause."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import islice

from confluent_kafka import Message

from pipeline.events.vocabulary import Channel, Priority
from pipeline.kafka.names import DELIVERY_STATUS, dispatch_topic
from pipeline.kafka.reader import read_topics
from tests.chaos.storm import Verdict
from tests.line.rig import Rig

MOST = 40
"""Notifications of each kind that are looked at."""


def suspects(verdict: Verdict) -> dict[str, str]:
    """Notification id → what is wrong with it, some of each kind."""
    offenders = defaultdict[str, list[str]](list)
    for offender in verdict.balance.offenders:
        offenders[offender.problem].append(offender.notification_id)
    kinds = {**offenders, "unflagged": verdict.unflagged, "unsaid": verdict.unsaid, "unsent": verdict.unsent}
    return {notification: kind for kind, ids in kinds.items() for notification in islice(ids, MOST)}


def evidence(rig: Rig, verdict: Verdict) -> Iterator[str]:
    """Lines: each record about a suspect, in the order of its time."""
    found = defaultdict[str, list[tuple[int, str]]](list)
    wanted = suspects(verdict)
    for when, notification, line in _records(rig, wanted):
        found[notification].append((when, line))
    for notification, kind in wanted.items():
        yield f"{notification}: {kind}"
        yield from (f"  {when} {line}" for when, line in sorted(found[notification]))


def _records(rig: Rig, wanted: Collection[str]) -> Iterator[tuple[int, str, str]]:
    for message in _messages(rig, [dispatch_topic(channel, priority) for channel in Channel for priority in Priority]):
        dispatch = rig.codec.decode_dispatch(message.value())
        if dispatch.notification_id in wanted:
            told = f"decided {dispatch.decided_at}, {dispatch.origin}, user {dispatch.event.recipient_id}"
            yield message.timestamp()[1], dispatch.notification_id, f"{_place(message)}: {told}"
    for message in _messages(rig, [DELIVERY_STATUS]):
        status = rig.codec.decode_status(message.value())
        if status.notification_id in wanted:
            told = f"{status.status} ({status.reason}) by {status.provider} {status.provider_message_id}"
            doubt = f"attempt {status.attempt}, in doubt: {status.in_doubt}, occurred {status.occurred_at}"
            yield message.timestamp()[1], status.notification_id, f"{_place(message)}: {told}, {doubt}"


def _messages(rig: Rig, topics: list[str]) -> Iterator[Message]:
    for batch in read_topics(rig.settings.kafka, topics):
        yield from batch


def _place(message: Message) -> str:
    return f"{message.topic()}/{message.partition()}@{message.offset()}"
