"""``/v1/users/{user_id}/preferences``: what a person wants to be told, where, and when not."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pipeline.catalogue.model import Catalogue, EventType
from pipeline.events.canonical import Problem
from pipeline.events.vocabulary import Channel
from pipeline.gateway.access import CHANGE_PERSON, READ_PERSON
from pipeline.gateway.audit import Auditor
from pipeline.gateway.people.profiles import Zone
from pipeline.gateway.problems import bad_request
from pipeline.gateway.routes import Call, Name, Route, Routes
from pipeline.routing.effective import effective_preference
from pipeline.storage.preferences import Preferences
from pipeline.storage.users import Consent, Users
from pipeline.users.directory import UserDirectory
from pipeline.users.formats import CLOCK_PATTERN, clock_time, is_zone, seconds_since_midnight
from pipeline.users.snapshot import EVERY, PreferenceRow, UserSnapshot

SOURCE = "gateway"
MOST_ROWS = 500

Clock = Annotated[str, Meta(pattern=CLOCK_PATTERN, description="HH:MM on the wall clock.")]
RowChannel = Literal["push", "email", "sms", "in_app", "*"]


class QuietHours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From `start` to before `end`, past midnight where `end` is less; equal: none. Without `timezone`: the person's."""

    start: Clock
    end: Clock
    timezone: Zone | None = None


class Preference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row: on or off (null: says nothing), and quiet hours, for a channel and a type; ``*``: all of them.

    `type` is an event type or a category. The most specific row wins, and the channel is looked at first.
    """

    channel: RowChannel = "*"
    type: Name = EVERY
    enabled: bool | None = None
    quiet_hours: QuietHours | None = None


class PreferencesBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PUT: these rows instead of all; PATCH: these rows beside the others. A row that says nothing is taken away.

    `consents` are added to the history: category → given or withdrawn.
    """

    preferences: Annotated[list[Preference], Meta(max_length=MOST_ROWS)] = []
    consents: Annotated[dict[Name, bool], Meta(max_length=MOST_ROWS)] = {}


class CategoryView(msgspec.Struct, frozen=True, kw_only=True):
    """A category of the catalogue. `consented` counts where consent is required."""

    category: str
    stream: str
    consent_required: bool
    consented: bool


class EffectiveView(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows come to for one entry of the catalogue and one channel, and what that is due to."""

    type: str
    category: str
    channel: Channel
    enabled: bool
    origin: str
    reason: str
    text: str


class PreferencesView(msgspec.Struct, frozen=True, kw_only=True):
    """The rows, the categories, and what they come to. Quiet hours and frequency caps are no part of `effective`."""

    user_id: str
    timezone: str | None
    preferences: list[Preference]
    categories: list[CategoryView]
    effective: list[EffectiveView]


class WhichEffective(msgspec.Struct, frozen=True, kw_only=True):
    """For one event type and one channel only; by default for every entry of the catalogue on its own channels."""

    type: Name | None = None
    channel: Channel | None = None


class PreferenceRoutes:
    """Handlers over the repositories and the catalogue."""

    def __init__(
        self,
        preferences: Preferences,
        users: Users,
        directory: UserDirectory,
        catalogue: Catalogue,
        auditor: Auditor,
    ) -> None:
        self._preferences = preferences
        self._users = users
        self._directory = directory
        self._catalogue = catalogue
        self._auditor = auditor

    def table(self) -> Routes:
        path, tag = "/v1/users/{user_id}/preferences", "preferences"
        return [
            Route(
                method="GET",
                path=path,
                handler=self.get_preferences,
                access=READ_PERSON,
                summary="A person's preferences, and what they come to",
                tag=tag,
            ),
            Route(
                method="PUT",
                path=path,
                handler=self.put_preferences,
                access=CHANGE_PERSON,
                summary="Replace all rows",
                tag=tag,
            ),
            Route(
                method="PATCH",
                path=path,
                handler=self.patch_preferences,
                access=CHANGE_PERSON,
                summary="Change some rows",
                tag=tag,
            ),
        ]

    async def get_preferences(self, user_id: Name, query: WhichEffective) -> PreferencesView:
        rows = await self._preferences.get(user_id)
        user = (await self._directory.load([user_id]))[user_id]
        return PreferencesView(
            user_id=user_id,
            timezone=user.timezone,
            preferences=[_shown(row) for row in rows],
            categories=[
                CategoryView(
                    category=category.name,
                    stream=category.stream,
                    consent_required=category.consent_required,
                    consented=category.name in user.consents,
                )
                for category in self._catalogue.categories.values()
            ],
            effective=list(self._effective(user, query)),
        )

    async def put_preferences(self, user_id: Name, body: PreferencesBody, call: Call) -> PreferencesView:
        return await self._change(user_id, body, call, replace=True)

    async def patch_preferences(self, user_id: Name, body: PreferencesBody, call: Call) -> PreferencesView:
        return await self._change(user_id, body, call, replace=False)

    async def _change(self, user_id: str, body: PreferencesBody, call: Call, *, replace: bool) -> PreferencesView:
        if problems := list(_problems(body.preferences)):
            raise bad_request(problems)
        await self._preferences.update(user_id, [_row(p) for p in body.preferences], replace=replace, source=SOURCE)
        if body.consents:
            await self._record(user_id, body.consents)
        action = "preferences.put" if replace else "preferences.patch"
        changed = [f"{p.channel}/{p.type}" for p in body.preferences]
        await self._auditor.note(call, action, user_id, rows=changed, consents=body.consents)
        return await self.get_preferences(user_id, WhichEffective())

    async def _record(self, user_id: str, consents: Mapping[str, bool]) -> None:
        """Adds to the history what is new: saying yes again is no new consent."""
        given = (await self._directory.load([user_id]))[user_id].consents
        for category, granted in consents.items():
            if granted != (category in given):
                consent = Consent(category=category, granted=granted, source=SOURCE)
                await self._users.record_consent(user_id, consent)

    def _effective(self, user: UserSnapshot, query: WhichEffective) -> Iterator[EffectiveView]:
        now = time.time_ns() // 1_000_000
        for name, type_ in self._types(query):
            for channel in _channels(type_, query):
                found = effective_preference(type_, user, channel, now)
                yield EffectiveView(
                    type=name,
                    category=type_.entry.category.name,
                    channel=channel,
                    enabled=found.enabled,
                    origin=found.origin,
                    reason=found.reason,
                    text=found.text,
                )

    def _types(self, query: WhichEffective) -> Iterator[tuple[str, EventType]]:
        if query.type is not None:
            yield query.type, self._catalogue.find(query.type) or self._catalogue.default(query.type)
            return
        for pattern, entry in self._catalogue.entries.items():
            yield pattern, EventType(pattern, entry)


def _channels(type_: EventType, query: WhichEffective) -> Sequence[Channel]:
    if query.channel is not None:
        return [query.channel]
    allowed = type_.entry.only_channels
    return [channel for channel in Channel if channel in type_.entry.channels or (allowed and channel in allowed)]


def _problems(rows: Sequence[Preference]) -> Iterator[Problem]:
    seen = Counter((row.channel, row.type) for row in rows)
    for index, row in enumerate(rows):
        if seen[row.channel, row.type] > 1:
            yield Problem(f"/preferences/{index}", "stands here twice: give each channel and type once")
        zone = row.quiet_hours.timezone if row.quiet_hours else None
        if zone is not None and not is_zone(zone):
            yield Problem(f"/preferences/{index}/quiet_hours/timezone", "is no IANA time zone, such as Europe/Berlin")


def _row(preference: Preference) -> PreferenceRow:
    quiet = preference.quiet_hours
    start, end = (seconds_since_midnight(quiet.start), seconds_since_midnight(quiet.end)) if quiet else (None, None)
    zone = quiet.timezone if quiet else None
    return PreferenceRow(preference.channel, preference.type, preference.enabled, start, end, zone)


def _shown(row: PreferenceRow) -> Preference:
    quiet = None
    if row.quiet_start is not None and row.quiet_end is not None:
        quiet = QuietHours(start=clock_time(row.quiet_start), end=clock_time(row.quiet_end), timezone=row.timezone)
    channel = msgspec.convert(EVERY if row.channel == "all" else row.channel, RowChannel)
    return Preference(channel=channel, type=row.notif_type, enabled=row.enabled, quiet_hours=quiet)
