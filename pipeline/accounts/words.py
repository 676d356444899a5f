"""An event's story in sentences that a support agent can read to a customer: what was decided, on what, what came of it.
Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from pipeline.events.records import ChannelDecision, Decision, DeliveryStatus
from pipeline.events.vocabulary import DOUBT, DOUBT_TEXT, REASON_TEXT, Origin, Status, Verdict
from pipeline.routing.quiet_hours import find_zone

Inputs = Mapping[str, object]

CHANNELS = {"push": "push message", "email": "e-mail", "sms": "text message", "in_app": "in-app message"}

_DECIDED = {
    Verdict.DISPATCH: "it was let through to be sent",
    Verdict.SUPPRESS: "it was decided not to send it",
    Verdict.DEFER: "it was held back",
    Verdict.DIGEST: "it was put aside to be told together with others",
    Verdict.EXPIRE: "it was decided not to send it, because it would have come too late",
    Verdict.CANCEL: "it was called off",
    Verdict.DUPLICATE: "it was recognised as a repeat and left out",
}

_HAPPENED = {
    Status.SENT: "{provider} accepted the message{attempt}.",
    Status.SUPPRESSED: "It was not sent.",
    Status.DIGESTED: "It was told together with others, in notification {told_in}.",
    Status.EXPIRED: "It was not sent, because it would have come too late.",
    Status.FAILED: "It could not be delivered{attempt}.",
    Status.CANCELLED: "It was called off before it was sent.",
    Status.DEFERRED: "It had to wait.",
    Status.DEAD_LETTERED: "It was set aside for a person to look at{attempt}.",
    Status.RETRYING: "Sending it through {provider} did not work{attempt}; it is tried again.",
    Status.RELEASED: "The wait was over.",
    Status.REPLAYED: "A person had it tried again.",
    Status.DELIVERED: "{provider} reported that it was delivered.",
    Status.BOUNCED: "{provider} reported that the address does not take it.",
    Status.COMPLAINED: "The recipient reported it as unwanted.",
    Status.OPENED: "The recipient opened it.",
    Status.CLICKED: "The recipient followed a link in it.",
    Status.READ: "The recipient read it.",
    Status.UNSUBSCRIBED: "The recipient unsubscribed.",
}

_SAYS_ALL = frozenset({Status.SENT, Status.DIGESTED, Status.RELEASED, Status.REPLAYED})
"""Statuses whose reason adds nothing to what is said of them."""


class Decided(NamedTuple):
    """One decision about one channel, and the decision about the event that it is part of."""

    whole: Decision
    channel: ChannelDecision


def tell_channel(decisions: Sequence[Decided], statuses: Sequence[DeliveryStatus]) -> list[str]:
    """All that was decided and all that happened, one paragraph each, in order of time, which is told in UTC."""
    routed = {(d.whole.decided_at, d.channel.reason) for d in decisions}
    told = [(d.whole.decided_at, 0, _decision(d)) for d in decisions]
    told += [(s.occurred_at, 1, _status(s)) for s in statuses if (s.occurred_at, s.reason) not in routed or s.attempt]
    return [text for _, _, text in sorted(told, key=lambda entry: entry[:2])]


def _decision(decided: Decided) -> str:
    whole, channel = decided
    inputs = msgspec.json.decode(channel.inputs, type=dict[str, object])
    what = _DECIDED[channel.verdict]
    if whole.origin is not Origin.INGEST:
        what = f"{what} (decided again: {'the wait was over' if whole.origin is Origin.RELEASED else 'a person asked'})"
    until = f" until {_when(channel.until, _zone(inputs))}" if channel.until is not None else ""
    sentences = [f"{_when(whole.decided_at)}: {what}{until}.", REASON_TEXT[channel.reason], *_grounds(whole, inputs)]
    return " ".join([*sentences, f"(Rule {channel.rule}, policy {whole.policy_version}.)"])


def _grounds(whole: Decision, inputs: Inputs) -> Iterator[str]:
    """What was looked at, in the order in which the rules look."""
    if inputs.get("routed_again"):
        yield "The record came a second time after a restart; the first decision stands."
    if (allowed := inputs.get("only_channels")) is not None:
        yield f"This type may go by {_names(allowed)} only."
    if (entry := _part(inputs, "suppression")) is not None:
        yield f"On the list since: {entry.get('reason')}{_till(entry.get('expires_at'))}."
    if (row := _part(inputs, "preference")) is not None:
        yield _preference(row)
    if (window := _part(inputs, "quiet_hours")) is not None:
        yield _quiet_hours(window, whole.decided_at)
    if (counters := _part(inputs, "counters")) is not None:
        yield from (_counter(name, cap) for name, cap in counters.items() if isinstance(cap, dict))
    if (cap := _part(inputs, "cap")) is not None and isinstance(free := cap.get("free_at"), int):
        yield f"The limit {cap.get('name')!r} of {cap.get('limit')} in {_span(cap.get('window_s'))} has room again at {_when(free)}."
    if (digest := _part(inputs, "digest")) is not None and "into" in digest:
        yield f"What comes within {_span(digest.get('window_s'))} is told together, as {digest['into']}."
    if isinstance(held := inputs.get("held_until"), int):
        yield f"It would have had to wait until {_when(held)}, and was worth nothing by then."


def _preference(row: Inputs) -> str:
    what = "everything" if row.get("notif_type") in ("*", "all") else f"{row.get('notif_type')!r}"
    channel = str(row.get("channel"))
    where = "on all channels" if channel in ("*", "all") else f"as {CHANNELS.get(channel, channel)}"
    return f"The user's preference that decides: {what} {where} is turned {'on' if row.get('enabled') else 'off'}."


def _quiet_hours(window: Inputs, at: int) -> str:
    zone = _zone({"quiet_hours": window})
    begin, end = (_clock(window.get(name)) for name in ("start", "end"))
    local = datetime.fromtimestamp(at / 1000, zone)
    unknown = window.get("unknown_zone")
    note = f" (the user's time zone {unknown!r} does not exist, so UTC counts)" if unknown else ""
    return f"The user's quiet hours are {begin} to {end} in {zone.key}{note}; it was {local:%H:%M} there."


def _counter(name: str, cap: Inputs) -> str:
    return (
        f"Of the {cap.get('limit')} that the limit {name!r} allows in {_span(cap.get('window_s'))}, "
        f"{cap.get('sent')} had been sent."
    )


def _status(status: DeliveryStatus) -> str:
    attempt = f" at try {status.attempt}" if status.attempt > 1 else ""
    provider = f"The provider {status.provider}" if status.provider else "The provider"
    text = _HAPPENED[status.status].format(
        provider=provider if _HAPPENED[status.status].startswith("{provider}") else provider.replace("The", "the", 1),
        attempt=attempt,
        told_in=status.provider_message_id or "unknown",
    )
    sentences = [f"{_when(status.occurred_at)}: {text}"]
    if status.status not in _SAYS_ALL:
        sentences.append(REASON_TEXT[status.reason])
    if status.in_doubt:
        sentences.append(DOUBT_TEXT.get(status.status, DOUBT))
    return " ".join(sentences)


def _part(inputs: Inputs, name: str) -> dict[str, object] | None:
    part = inputs.get(name)
    return part if isinstance(part, dict) else None


def _zone(inputs: Inputs) -> ZoneInfo:
    window = _part(inputs, "quiet_hours") or {}
    return find_zone(str(window.get("zone") or "UTC")) or ZoneInfo("UTC")


def _when(milliseconds: int, zone: ZoneInfo | None = None) -> str:
    at = datetime.fromtimestamp(milliseconds / 1000, zone or UTC)
    return f"{at:%Y-%m-%d %H:%M:%S} {zone.key if zone else 'UTC'}"


def _clock(seconds: object) -> str:
    number = seconds if isinstance(seconds, int) else 0
    return f"{number // 3600:02}:{number // 60 % 60:02}"


def _span(seconds: object) -> str:
    """``600`` → ``10 minutes``; the largest unit that divides it."""
    number = seconds if isinstance(seconds, int) else 0
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if number and number % unit == 0:
            return f"{number // unit} {name}{'s' if number > unit else ''}"
    return f"{number} seconds"


def _till(expires_at: object) -> str:
    return f", until {_when(expires_at)}" if isinstance(expires_at, int) else ""


def _names(channels: object) -> str:
    words = [CHANNELS.get(str(c), str(c)) for c in channels] if isinstance(channels, list) else []
    return ", ".join(words) or "no channel"
