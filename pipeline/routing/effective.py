"""What a user's preferences come to for one event type and channel, and which of them it is due to. Pure.

The router's own rules are asked, those that hold whatever the hour and the history, so that what is shown is what
will be decided.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.catalogue.model import EventType
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import REASON_TEXT, Channel, Priority, Reason
from pipeline.routing.caps import CapHistory
from pipeline.routing.preferences import LEVELS, Preferences
from pipeline.routing.rules import MANDATORY, Case, Notification, applicable
from pipeline.users.snapshot import UserSnapshot


class Effective(NamedTuple):
    """Whether the channel is on for the type. `origin` is the rule, or the preference's level; `text` says it in words."""

    enabled: bool
    reason: Reason
    origin: str
    text: str


def effective_preference(type_: EventType, user: UserSnapshot, channel: Channel, now: int) -> Effective:
    """What would be decided at `now` (ms), quiet hours and frequency caps aside."""
    preferences = Preferences(user.preferences, type_.type_levels)
    notification = Notification(_case(type_, user, preferences, now), channel, "", {})
    for rule in applicable(notification.case):
        if held := rule(notification):
            text = _off(preferences, channel, type_) if held.reason is Reason.OPTED_OUT else REASON_TEXT[held.reason]
            return Effective(False, held.reason, held.rule, text)
    return _on(preferences, channel, type_, notification.inputs)


def _case(type_: EventType, user: UserSnapshot, preferences: Preferences, now: int) -> Case:
    """A critical event: quiet hours and caps let it pass."""
    event = NotificationRequested(
        event_id="",
        event_type=type_.name,
        recipient_id=user.user_id,
        channels=[],
        priority=Priority.CRITICAL,
        data="{}",
        idempotency_key="",
        created_at=now,
    )
    history = CapHistory.unpack(None)
    return Case(event, {}, type_, user, history, Priority.CRITICAL, "event", True, preferences, None, now)


def _off(preferences: Preferences, channel: Channel, type_: EventType) -> str:
    return f"off because of {_what(preferences, channel, type_)}"


def _on(preferences: Preferences, channel: Channel, type_: EventType, inputs: Mapping[str, object]) -> Effective:
    if MANDATORY in inputs:
        text = f"on although off by {_what(preferences, channel, type_)}: the catalogue marks this type as mandatory"
        return Effective(True, Reason.MANDATORY, "mandatory", text)
    opinion = preferences.opinion(channel)
    if opinion is None:
        return Effective(True, Reason.ALLOWED, "default", "on by default")
    text = f"on because of {_what(preferences, channel, type_)}"
    return Effective(True, Reason.ALLOWED, f"preference:{LEVELS[opinion.rank]}", text)


def _what(preferences: Preferences, channel: Channel, type_: EventType) -> str:
    """The row that decides: "category marketing", "type order.shipped on email", "everything"."""
    opinion = preferences.opinion(channel)
    assert opinion is not None
    if opinion.notif_type == type_.name:
        what = f"type {opinion.notif_type}"
    elif opinion.notif_type == type_.entry.category.name:
        what = f"category {opinion.notif_type}"
    else:
        what = "everything"
    return what if opinion.channel != channel else f"{what} on {channel}"
