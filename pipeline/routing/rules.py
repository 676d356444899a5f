"""The rules that can hold one channel of an event back, in their order; the first that does decides. Pure.

Each rule notes in `inputs` what it looked at, so that the decision can be explained; names of rules are few and
stable, since status records and metrics carry them.
"""

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

import msgspec

from pipeline.catalogue.model import EventType
from pipeline.escalation.judge import Wait, judge
from pipeline.escalation.standing import Standing
from pipeline.events.records import NotificationRequested
from pipeline.events.vocabulary import Channel, Priority, Reason, Verdict
from pipeline.routing.caps import CapHistory
from pipeline.routing.preferences import LEVELS, Preferences
from pipeline.routing.quiet_hours import UTC, find_zone, quiet_until
from pipeline.users.snapshot import EVERY, UserSnapshot

Inputs = dict[str, object]

MANDATORY = "mandatory"
"""Noted in the inputs where a mandatory type passed an opt-out."""


class Case(msgspec.Struct):
    """One event about to be decided: everything that the rules read. Times are milliseconds.

    `given_by` says what gave the `priority`: catalogue, event, ceiling or escalation. `critical`: it is the highest.
    `standings` are the event's other channels, where its type has steps.
    """

    event: NotificationRequested
    data: Mapping[str, object]
    type: EventType
    user: UserSnapshot
    history: CapHistory
    priority: Priority
    given_by: str
    critical: bool
    preferences: Preferences
    expires_at: int | None
    now: int
    standings: dict[Channel, Standing] = {}


class Notification(msgspec.Struct):
    """One channel of the case: what a rule is asked about. Rules note in `inputs` what they looked at."""

    case: Case
    channel: Channel
    id: str
    inputs: Inputs
    counted: bytes = b""
    """The id as frequency caps keep it; empty until one asks."""


class Held(msgspec.Struct, frozen=True):
    """A rule's word; `until` (ms) for what waits: `Verdict.DEFER` and `Verdict.DIGEST`."""

    verdict: Verdict
    reason: Reason
    rule: str
    until: int | None = None


Rule = Callable[[Notification], Held | None]


def only_channels(n: Notification) -> Held | None:
    """The catalogue may restrict a type to some channels; hints do not reach beyond them."""
    allowed = n.case.type.entry.only_channels or ()
    if n.channel in allowed:
        return None
    n.inputs["only_channels"] = sorted(allowed)
    return Held(Verdict.SUPPRESS, Reason.CHANNEL_NOT_ALLOWED, "only_channels")


def recipient(n: Notification) -> Held | None:
    """There must be a user, and an address on this channel."""
    if not n.case.user.known:
        return Held(Verdict.SUPPRESS, Reason.UNKNOWN_RECIPIENT, "unknown_recipient")
    if not n.case.user.has_address(n.channel):
        return Held(Verdict.SUPPRESS, Reason.NO_ADDRESS, "no_address")
    return None


def suppression_list(n: Notification) -> Held | None:
    """A bounced or complaining address is not used, whatever the event is."""
    stream = n.case.type.entry.category.stream
    for entry in n.case.user.suppressions:
        lasts = entry.expires_at is None or entry.expires_at > n.case.now
        if entry.channel == n.channel and lasts and entry.stream in (stream, EVERY, "all"):
            n.inputs["suppression"] = {"stream": entry.stream, "reason": entry.reason, "expires_at": entry.expires_at}
            return Held(Verdict.SUPPRESS, Reason.ADDRESS_SUPPRESSED, "suppression_list")
    return None


def consent(n: Notification) -> Held | None:
    """A category that requires consent reaches only those who gave it."""
    if n.case.type.entry.category.name in n.case.user.consents:
        return None
    return Held(Verdict.SUPPRESS, Reason.NO_CONSENT, "consent")


def preference(n: Notification) -> Held | None:
    """The most specific preference decides; a mandatory type passes an opt-out."""
    opinion = n.case.preferences.opinion(n.channel)
    if opinion is None:
        return None
    n.inputs["preference"] = {
        "channel": opinion.channel,
        "notif_type": opinion.notif_type,
        "enabled": opinion.enabled,
    }
    if opinion.enabled:
        return None
    if n.case.type.entry.mandatory:
        n.inputs[MANDATORY] = True
        return None
    return Held(Verdict.SUPPRESS, Reason.OPTED_OUT, f"preference:{LEVELS[opinion.rank]}")


def escalation(n: Notification) -> Held | None:
    """A step waits for those before it, and is not sent when they were enough; critical or not."""
    said = judge(n.case.type.entry.steps, n.channel, n.case.standings, n.case.now)
    if said is None:
        return None
    if isinstance(said, Wait):
        n.inputs["step"] = {"after": said.after, "due": said.until}
        return _wait(n, said.until, Reason.ESCALATION, "escalation")
    n.inputs["step"] = {"enough": said.channel, "at": said.at}
    return Held(Verdict.CANCEL, said.reason, "escalation")


def send_at(n: Notification) -> Held | None:
    """The sending service asked for a later time, and gets it, critical or not."""
    at = n.case.event.send_at or 0
    return None if at <= n.case.now else _wait(n, at, Reason.SCHEDULED, "send_at")


def digest(n: Notification) -> Held | None:
    """It is collected with others of its kind; but for what would have expired by the end of the longest wait."""
    spec = n.case.type.entry.digest
    if spec is None or spec.key.fill(n.case.data) is None:
        return None
    expires_at, now = n.case.expires_at, n.case.now
    if expires_at is not None and expires_at <= now + spec.longest:
        n.inputs["digest"] = {"expires_at": expires_at}
        return None
    n.inputs["digest"] = {"into": spec.type, "mode": spec.mode, "window_s": spec.window // 1000}
    return Held(Verdict.DIGEST, Reason.DIGEST, "digest", now + spec.window)


def quiet_hours(n: Notification) -> Held | None:
    """Within the recipient's quiet hours everything but critical waits for their end."""
    window = n.case.preferences.quiet_window(n.channel)
    if window is None:
        return None
    noted: Inputs = {"start": window.start, "end": window.end}
    n.inputs["quiet_hours"] = noted
    zone = _zone(window.timezone or n.case.user.timezone or "UTC", noted)
    until = quiet_until(n.case.now, window.start, window.end, zone)
    return None if until is None else _wait(n, until, Reason.QUIET_HOURS, "quiet_hours")


def _zone(name: str, noted: Inputs) -> ZoneInfo:
    """The zone of that name; a name that no zone has counts as UTC, and is noted."""
    zone = find_zone(name)
    if zone is None:
        noted["unknown_zone"], name, zone = name, "UTC", UTC
    noted["zone"] = name
    return zone


def caps(n: Notification) -> Held | None:
    """At most so many in any window; critical passes, but counts."""
    counted = _counted(n)
    counters: Inputs = {}
    n.inputs["counters"] = counters
    for cap in n.case.type.caps[n.channel]:
        sent = n.case.history.used(cap.scope, cap.window, counted, n.case.now)
        counters[cap.name] = {"sent": sent, "limit": cap.limit, "window_s": cap.window}
        free_at = n.case.history.free_at(cap.scope, cap.limit, cap.window, counted, n.case.now)
        if free_at > n.case.now:
            n.inputs["cap"] = {"name": cap.name, "limit": cap.limit, "window_s": cap.window, "free_at": free_at}
            if cap.defers:
                return _wait(n, free_at, Reason.FREQUENCY_CAP, cap.rule)
            return Held(Verdict.SUPPRESS, Reason.FREQUENCY_CAP, cap.rule)
    return None


def applicable(case: Case) -> list[Rule]:
    """The rules that can hold this event back, in the order in which they are to be asked."""
    entry, user, rouses = case.type.entry, case.user, not case.critical
    asked = (
        (entry.only_channels is not None, only_channels),
        (True, recipient),
        (user.suppressions, suppression_list),
        (entry.category.consent_required, consent),
        (user.preferences, preference),
        (entry.steps, escalation),
        (case.event.send_at is not None, send_at),
        (rouses and entry.digest is not None, digest),
        (rouses and user.preferences, quiet_hours),
        (rouses and entry.caps, caps),
    )
    return [rule for applies, rule in asked if applies]


def stopping(case: Case) -> list[Rule]:
    """Those of them that can stop it for good whatever the hour and however much was sent: asked again at a later time,
    they say whether it is still wanted.
    """
    waits = (escalation, send_at, digest, quiet_hours, caps)
    return [rule for rule in applicable(case) if rule not in waits]


def count(n: Notification, at: int) -> None:
    """Enter a dispatch at `at` (ms) into the history, for every cap that covers it."""
    for cap in n.case.type.caps[n.channel]:
        n.case.history.count(cap.scope, cap.limit, cap.window, _counted(n), at)


def _counted(n: Notification) -> bytes:
    if not n.counted:
        n.counted = bytes.fromhex(n.id.replace("-", ""))
    return n.counted


def _wait(n: Notification, until: int, reason: Reason, rule: str) -> Held:
    """Wait until then; but what would have expired by then is told so at once, not after the wait."""
    if n.case.expires_at is None or until < n.case.expires_at:
        return Held(Verdict.DEFER, reason, rule, until)
    n.inputs["held_until"] = until
    return Held(Verdict.EXPIRE, Reason.EXPIRED, rule)
