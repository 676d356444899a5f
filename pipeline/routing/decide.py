"""The decision: one event, what is known about its recipient and its past, the catalogue, the time: a `Ruling`.

Pure, but for the history of dispatches, which it keeps up to date. The order, first match wins: a cancel, routed
again, refused by the catalogue, duplicate, cancelled, expired, unknown type; then each channel by the rules that `rules.applicable` lists.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from pipeline.catalogue.model import URGENCY, Catalogue, Entry
from pipeline.catalogue.schemas import violation
from pipeline.errors import MalformedRecord
from pipeline.escalation.judge import in_turn
from pipeline.escalation.standing import Standing, Standings
from pipeline.events.ids import notification_id
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Kind, Origin, Priority, Reason, Verdict
from pipeline.routing.caps import CapHistory
from pipeline.routing.preferences import Preferences
from pipeline.routing.rules import MANDATORY, Case, Held, Notification, Rule, applicable, count, stopping
from pipeline.routing.ruling import PER_CHANNEL, ChannelRuling, Claim, EarlierRuling, Ruling
from pipeline.users.snapshot import UserSnapshot

UnknownTypes = Literal["default", "suppress", "dead_letter"]

# Reading a member off its enum costs a tenth of a microsecond, and these are read for every event.
_CANCEL, _INGEST, _MOST_URGENT = Kind.CANCEL, Origin.INGEST, Priority.CRITICAL


def decide(
    event: NotificationRequested,
    data: Mapping[str, object],
    user: UserSnapshot,
    history: CapHistory,
    claim: Claim,
    catalogue: Catalogue,
    now: int,
    origin: Origin,
    unknown_types: UnknownTypes,
    standings: Standings | None = None,
) -> Ruling:
    """Decide what becomes of `event` at `now` (ms), on every channel that it names or that its type has.

    `data` is the event's data, parsed. What is dispatched is entered in `history`. A released or replayed record is
    decided afresh, once for each round: that its key was claimed before says nothing then. `unknown_types` as
    `RouterSettings` has it. `standings` are the event's other channels, as they were found when this one was released.

    Raises:
        MalformedRecord: the catalogue refuses it: an unknown type under ``dead_letter``, or data against its schema.
            The text holds a JSON pointer and no value.
    """
    listed = catalogue.find(event.event_type)
    type_ = listed or catalogue.default(event.event_type)
    priority, given_by = _priority(event.priority, type_.entry, data)
    critical = priority == _MOST_URGENT
    preferences = Preferences(user.preferences, type_.type_levels)
    expires_at = _expiry(event, type_.entry)
    case = Case(event, data, type_, user, history, priority, given_by, critical, preferences, expires_at, now)
    if event.kind == _CANCEL:
        return _sum_up(case, [], "cancel_request")
    first_time = origin == _INGEST
    if claim.earlier is not None:
        return _again(case, claim.earlier)
    _refuse_malformed(case, listed is None and unknown_types == "dead_letter")
    unlisted = listed is None and unknown_types == "suppress"
    whole = _whole_event(case, claim.duplicate and first_time, claim.cancelled, unlisted)
    rules = [] if whole else applicable(case)
    channels = _channels(case, unlisted)
    if type_.entry.steps and not whole:
        case.standings = dict(standings or {})
        rulings = _in_turn(case, channels, rules)
    else:
        rulings = [_rule(_notification(case, channel), rules, whole) for channel in channels]
    if not rulings and not (whole and whole.verdict is Verdict.DUPLICATE):
        return _unrouted(case, Reason.UNKNOWN_TYPE if unlisted else Reason.NO_CHANNEL)
    return _sum_up(case, rulings, whole.rule if whole else PER_CHANNEL)


def urgency(event: NotificationRequested, data: Mapping[str, object], catalogue: Catalogue) -> tuple[bool, bool]:
    """Whether the event is critical, and whether it may then be decided on a stale snapshot (`Entry.sends_when_users_away`)."""
    entry = (catalogue.find(event.event_type) or catalogue.default(event.event_type)).entry
    critical = _priority(event.priority, entry, data)[0] == _MOST_URGENT
    return critical, critical and entry.sends_when_users_away


def stopped_meanwhile(
    event: NotificationRequested,
    data: Mapping[str, object],
    channel: Channel,
    user: UserSnapshot,
    catalogue: Catalogue,
    now: int,
) -> Held | None:
    """Why an event that was accepted for `channel` before must not reach its recipient at `now` (ms); None if it may.

    Asks what no waiting mends: expiry, suppression, consent, preference. Quiet hours and caps are asked when it is sent.
    """
    type_ = catalogue.find(event.event_type) or catalogue.default(event.event_type)
    priority, given_by = _priority(event.priority, type_.entry, data)
    preferences = Preferences(user.preferences, type_.type_levels)
    expires_at, critical = _expiry(event, type_.entry), priority == _MOST_URGENT
    case = Case(event, data, type_, user, CapHistory(), priority, given_by, critical, preferences, expires_at, now)
    if (held := _whole_event(case, duplicate=False, cancelled=False, unlisted=False)) is not None:
        return held
    notification = _notification(case, channel)
    return next((held for rule in stopping(case) if (held := rule(notification)) is not None), None)


def _priority(asked: Priority | None, entry: Entry, data: Mapping[str, object]) -> tuple[Priority, str]:
    """The priority and what gave it. The ceiling binds who sends the event, not the catalogue's own escalation."""
    priority, given_by = (entry.priority, "catalogue") if asked is None else (asked, "event")
    ceiling = entry.priority_ceiling
    if ceiling is not None and URGENCY[priority] < URGENCY[ceiling]:
        priority, given_by = ceiling, "ceiling"
    for escalation in entry.escalate:
        if URGENCY[escalation.priority] < URGENCY[priority] and escalation.matches(data):
            priority, given_by = escalation.priority, "escalation"
    return priority, given_by


def _expiry(event: NotificationRequested, entry: Entry) -> int | None:
    """The event's own expiry, else its type's time to live, which starts when it is to be sent."""
    if event.expires_at is not None or entry.ttl is None:
        return event.expires_at
    return max(event.created_at, event.send_at or 0) + entry.ttl


def _refuse_malformed(case: Case, unlisted: bool) -> None:
    if unlisted:
        raise MalformedRecord(
            f"event type {case.event.event_type!r} is not in the catalogue: add it there, or set router.unknown_types",
            Reason.UNKNOWN_TYPE,
        )
    schema = case.type.entry.schema
    if schema is not None and (wrong := violation(schema, case.data)):
        text = f"{wrong} (JSON Schema of {case.type.entry.pattern!r} in the event catalogue)"
        raise MalformedRecord(text, Reason.INVALID_DATA)


def _whole_event(case: Case, duplicate: bool, cancelled: bool, unlisted: bool) -> Held | None:
    """What holds the event back on every channel alike."""
    if duplicate:
        return Held(Verdict.DUPLICATE, Reason.DUPLICATE, "duplicate")
    if cancelled:
        return Held(Verdict.CANCEL, Reason.CANCELLED, "cancelled")
    if case.expires_at is not None and case.expires_at <= case.now:
        return Held(Verdict.EXPIRE, Reason.EXPIRED, "expired")
    return Held(Verdict.SUPPRESS, Reason.UNKNOWN_TYPE, "unknown_type") if unlisted else None


def _channels(case: Case, unlisted: bool) -> Collection[Channel]:
    """The event's hints, each once; without hints the catalogue's channels."""
    hints = case.event.channels
    if hints:
        return hints if len(hints) == len(set(hints)) else dict.fromkeys(hints)
    return () if unlisted else case.type.entry.channels


def _rule(n: Notification, rules: Sequence[Rule], whole: Held | None) -> ChannelRuling:
    held = whole
    for rule in rules:
        held = rule(n)
        if held is not None:
            break
    return _ruling(n, held or _dispatch(n))


def _in_turn(case: Case, channels: Collection[Channel], rules: Sequence[Rule]) -> list[ChannelRuling]:
    """As the type's steps have it: each channel sees what became of those before it."""
    ruled = {}
    for channel in in_turn(case.type.entry.steps, channels):
        ruled[channel] = ruling = _rule(_notification(case, channel), rules, None)
        case.standings[channel] = Standing(ruling.until or case.now) if ruling.verdict in _GOES else Standing()
    return [ruled[channel] for channel in channels]


_GOES = (Verdict.DISPATCH, Verdict.DEFER)


def _dispatch(n: Notification) -> Held:
    count(n, n.case.now)
    if MANDATORY in n.inputs:
        return _MANDATORY
    return _CRITICAL if n.case.critical else _ALLOWED


_ALLOWED = Held(Verdict.DISPATCH, Reason.ALLOWED, "allowed")
_CRITICAL = Held(Verdict.DISPATCH, Reason.ALLOWED, "critical")
_MANDATORY = Held(Verdict.DISPATCH, Reason.MANDATORY, "mandatory")


def _again(case: Case, earlier: list[EarlierRuling]) -> Ruling:
    """The same record once more: what was decided stands, whatever has changed since."""
    if not earlier:
        return _unrouted(case, Reason.NO_CHANNEL)
    return _sum_up(case, [_as_before(case, before) for before in earlier], "routed_again")


def _as_before(case: Case, before: EarlierRuling) -> ChannelRuling:
    n = _notification(case, before.channel)
    n.inputs["routed_again"] = True
    if before.verdict == Verdict.DISPATCH:
        count(n, before.decided_at)
    return _ruling(n, Held(before.verdict, before.reason, before.rule, before.until))


def _notification(case: Case, channel: Channel) -> Notification:
    return Notification(
        case, channel, notification_id(case.event.idempotency_key, case.event.recipient_id, channel), {}
    )


def _ruling(n: Notification, held: Held) -> ChannelRuling:
    entry = n.case.type.entry
    template = n.case.event.template or entry.templates.get(n.channel, entry.template)
    return ChannelRuling(n.channel, held.verdict, held.reason, held.rule, n.id, template, held.until, n.inputs)


def _unrouted(case: Case, reason: Reason) -> Ruling:
    return _sum_up(case, [], reason.value, reason)


def _sum_up(case: Case, channels: list[ChannelRuling], rule: str, unrouted: Reason | None = None) -> Ruling:
    event, entry = case.event, case.type.entry
    return Ruling(
        kind=event.kind,
        category=entry.category.name,
        stream=entry.category.stream,
        priority=case.priority,
        template=event.template or entry.template,
        collapse_key=entry.collapse(event.collapse_key, case.data),
        expires_at=case.expires_at,
        rule=rule,
        channels=channels,
        unrouted=unrouted,
        inputs={"catalogue": entry.pattern, "priority": case.given_by},
        sends=case.critical and entry.sends_when_users_away,
    )
