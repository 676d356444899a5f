"""What a person can choose on the preference page, and what their choice changes. Pure."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from pipeline.catalogue.model import Catalogue, Category, Stream, Tracking
from pipeline.channels import tracking
from pipeline.events.vocabulary import Channel
from pipeline.gateway.pages.forms import Fields
from pipeline.gateway.pages.texts import Voice
from pipeline.routing.preferences import Preferences
from pipeline.storage.suppressions import ADDRESSED
from pipeline.users.formats import CLOCK_PATTERN, clock_time, seconds_since_midnight
from pipeline.users.snapshot import EVERY, PreferenceRow, UserSnapshot

UNSUBSCRIBED = "unsubscribe"
"""The reason of a suppression that its owner asked for, and may take back."""

NIGHT = ("22:00", "07:00")
"""Quiet hours that are proposed where there are none."""

_ALL_WORDS = (EVERY, "all")
_CLOCK = re.compile(CLOCK_PATTERN)


class Switch(NamedTuple):
    """A box for one channel; `name` is what the form calls it."""

    name: str
    channel: Channel
    on: bool


class ConsentBox(NamedTuple):
    given: bool
    text: str


class Section(NamedTuple):
    """A category. `locked`: none of its types can be turned off; `partly_locked`: some cannot."""

    category: str
    title: str
    description: str
    locked: bool
    partly_locked: bool
    consent: ConsentBox | None
    switches: Sequence[Switch]


class QuietBox(NamedTuple):
    """``HH:MM``, in `zone`."""

    on: bool
    start: str
    end: str
    zone: str


class TrackingBox(NamedTuple):
    on: bool


class PreferencePage(NamedTuple):
    """Everything that the page shows."""

    sections: Sequence[Section]
    stops: Sequence[Switch]
    quiet: QuietBox
    tracking: TrackingBox | None


class Stop(NamedTuple):
    """All of a stream on a channel: to be stopped, or no longer."""

    channel: Channel
    stream: Stream
    on: bool


class Changes(NamedTuple):
    """What a choice changes. `consents`: category → given or withdrawn. `off`: what was turned off."""

    rows: Sequence[PreferenceRow]
    consents: Mapping[str, bool]
    stops: Sequence[Stop]
    off: Collection[tuple[Channel, str]]


class WrongTime(ValueError):
    """The quiet hours are no times of day."""


def channels_of(catalogue: Catalogue, category: str) -> Sequence[Channel]:
    """The channels that a category's types go out on, or may."""
    entries = [entry for entry in catalogue.entries.values() if entry.category.name == category]
    steps = {step.channel for entry in entries for step in entry.steps}
    found = steps | {channel for entry in entries for channel in (*entry.channels, *(entry.only_channels or ()))}
    return [channel for channel in Channel if channel in found]


def is_on(user: UserSnapshot, channel: Channel, category: str) -> bool:
    """Whether a category as a whole is on: by its own row, or a wider one."""
    levels = {category: 1, **dict.fromkeys(_ALL_WORDS, 2)}
    opinion = Preferences(user.preferences, levels).opinion(channel)
    return opinion is None or opinion.enabled


def switched(
    catalogue: Catalogue, user: UserSnapshot, channel: Channel, category: str, *, on: bool
) -> Iterator[PreferenceRow]:
    """The rows that turn a category on or off: its own, and those of its types that say otherwise fall silent."""
    own = PreferenceRow(channel, category, on, None, None, None)
    for row in user.preferences:
        if row.channel == channel and row.notif_type == category:
            own = with_word(row, enabled=on)
        elif row.channel == channel and row.enabled is (not on) and _is_of(catalogue, row.notif_type, category):
            yield with_word(row, enabled=None)
    yield own


def title_of(category: Category, say: Voice) -> str:
    """What a category is called in the reader's language; without a title its name, made readable."""
    return say.pick(category.title, category.name.replace("_", " ").replace("-", " ").capitalize())


def has_stopped(user: UserSnapshot, channel: Channel, stream: Stream) -> bool:
    """Whether this person, and nobody else, has stopped a stream on a channel."""
    return any(
        (entry.channel, entry.stream, entry.reason) == (channel, stream, UNSUBSCRIBED) for entry in user.suppressions
    )


def preference_page(catalogue: Catalogue, user: UserSnapshot, say: Voice, *, tracked: bool) -> PreferencePage:
    """The page as things are. `tracked`: mail is tracked here at all."""
    sections = [_section(catalogue, category, user, say) for category in catalogue.categories.values()]
    return PreferencePage(
        sections=[section for section in sections if section.switches],
        stops=[
            Switch(f"stop:{channel}", channel, stopped)
            for channel in stoppable(catalogue)
            if (stopped := has_stopped(user, channel, Stream.MARKETING)) or len(marketing(catalogue)) > 1
        ],
        quiet=_quiet(user),
        tracking=_tracking(catalogue, user) if tracked else None,
    )


def marketing(catalogue: Catalogue) -> Sequence[str]:
    """The categories of the marketing stream."""
    return [name for name, category in catalogue.categories.items() if category.stream is Stream.MARKETING]


def stoppable(catalogue: Catalogue) -> Sequence[Channel]:
    """The channels on which all marketing can be stopped at once."""
    used = {channel for name in marketing(catalogue) for channel in channels_of(catalogue, name)}
    return [channel for channel in ADDRESSED if channel in used]


def changes(catalogue: Catalogue, user: UserSnapshot, form: Fields) -> Changes:
    """What a form that came back changes: only what it showed, and only where it is another choice.

    Raises:
        WrongTime: the quiet hours are on, and are none.
    """
    shown = {value for name, value in form if name == "shown"}
    ticked = {value for name, value in form if name == "on"}
    rows: list[PreferenceRow] = []
    off: list[tuple[Channel, str]] = []
    consents: dict[str, bool] = {}
    for name, category in catalogue.categories.items():
        box = f"consent:{name}"
        if category.consent_required and box in shown and (box in ticked) != (name in user.consents):
            consents[name] = box in ticked
        for channel in channels_of(catalogue, name):
            if (box := f"{channel}:{name}") in shown:
                on = box in ticked
                if not on and is_on(user, channel, name):
                    off.append((channel, name))
                if not on or not is_on(user, channel, name):
                    rows += switched(catalogue, user, channel, name, on=on)
    if "tracking" in shown:
        rows += _tracking_rows(catalogue, user, on="tracking" in ticked)
        consents |= _tracking_consent(catalogue, user, on="tracking" in ticked)
    if "quiet" in shown:
        rows.append(_quiet_row(user, dict(form), on="quiet" in ticked))
    stops = [
        Stop(channel, Stream.MARKETING, box in ticked)
        for channel in stoppable(catalogue)
        if (box := f"stop:{channel}") in shown and (box in ticked) != has_stopped(user, channel, Stream.MARKETING)
    ]
    return Changes([row for row in rows if row not in user.preferences], consents, stops, off)


def with_word(row: PreferenceRow, *, enabled: bool | None) -> PreferenceRow:
    """The row with another word on being told, its quiet hours kept."""
    return PreferenceRow(row.channel, row.notif_type, enabled, row.quiet_start, row.quiet_end, row.timezone)


def _section(catalogue: Catalogue, category: Category, user: UserSnapshot, say: Voice) -> Section:
    name = category.name
    mandatory = [entry.mandatory for entry in catalogue.entries.values() if entry.category.name == name]
    title = title_of(category, say)
    consent = say.pick(category.consent_text) or say("consent_text", category=title)
    return Section(
        category=name,
        title=title,
        description=say.pick(category.description),
        locked=bool(mandatory) and all(mandatory),
        partly_locked=any(mandatory),
        consent=ConsentBox(name in user.consents, consent) if category.consent_required else None,
        switches=[
            Switch(f"{channel}:{name}", channel, is_on(user, channel, name)) for channel in channels_of(catalogue, name)
        ],
    )


def _is_of(catalogue: Catalogue, notif_type: str, category: str) -> bool:
    """Whether a row's word is an event type of that category."""
    if notif_type in catalogue.categories or notif_type in (*_ALL_WORDS, tracking.TOPIC):
        return False
    return (catalogue.find(notif_type) or catalogue.default(notif_type)).entry.category.name == category


def _everywhere(user: UserSnapshot) -> PreferenceRow:
    """The row for all channels and types, which holds the quiet hours that the page shows."""
    found = (r for r in user.preferences if r.channel in _ALL_WORDS and r.notif_type in _ALL_WORDS)
    return next(found, PreferenceRow(EVERY, EVERY, None, None, None, None))


def _quiet(user: UserSnapshot) -> QuietBox:
    row = _everywhere(user)
    zone = row.timezone or user.timezone or "UTC"
    if row.quiet_start is None or row.quiet_end is None or row.quiet_start == row.quiet_end:
        return QuietBox(False, *NIGHT, zone)
    return QuietBox(True, clock_time(row.quiet_start), clock_time(row.quiet_end), zone)


def _quiet_row(user: UserSnapshot, form: Mapping[str, str], *, on: bool) -> PreferenceRow:
    row = _everywhere(user)
    if not on:
        return PreferenceRow(row.channel, row.notif_type, row.enabled, None, None, None)
    start, end = form.get("quiet_start", ""), form.get("quiet_end", "")
    if not (_CLOCK.fullmatch(start) and _CLOCK.fullmatch(end)):
        raise WrongTime
    times = seconds_since_midnight(start), seconds_since_midnight(end)
    return PreferenceRow(row.channel, row.notif_type, row.enabled, *times, row.timezone)


def _tracking(catalogue: Catalogue, user: UserSnapshot) -> TrackingBox | None:
    """None: nothing is tracked, so there is nothing to choose."""
    modes = {tracking.tracking_of(category) for category in catalogue.categories.values()}
    if modes <= {Tracking.OFF}:
        return None
    mode = Tracking.ON if Tracking.ON in modes else Tracking.CONSENT
    return TrackingBox(tracking.may_track(mode, user, Channel.EMAIL))


def _tracking_rows(catalogue: Catalogue, user: UserSnapshot, *, on: bool) -> Iterator[PreferenceRow]:
    box = _tracking(catalogue, user)
    if box is None or box.on == on:
        return
    for row in user.preferences:
        if row.notif_type == tracking.TOPIC and row.channel not in (EVERY, Channel.SMS, Channel.PUSH, Channel.IN_APP):
            yield with_word(row, enabled=None)
    yield PreferenceRow(EVERY, tracking.TOPIC, on, None, None, None)


def _tracking_consent(catalogue: Catalogue, user: UserSnapshot, *, on: bool) -> Mapping[str, bool]:
    asked = any(tracking.tracking_of(category) is Tracking.CONSENT for category in catalogue.categories.values())
    return {tracking.TOPIC: on} if asked and on != (tracking.TOPIC in user.consents) else {}
