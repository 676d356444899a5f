"""Writes what a person chose on a page: preferences, consents, suppressions, each with where it was asked for."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from pipeline.catalogue.model import Catalogue
from pipeline.channels.tracking import TOPIC
from pipeline.channels.unsubscribe import Unsubscribe
from pipeline.events.vocabulary import Channel
from pipeline.gateway.pages.choices import UNSUBSCRIBED, Changes, Stop, channels_of, is_on, switched
from pipeline.storage.repositories import Repositories
from pipeline.storage.suppressions import Entry
from pipeline.storage.users import Consent
from pipeline.users.directory import UserDirectory
from pipeline.users.snapshot import UserSnapshot


class Wording(NamedTuple):
    """Where somebody chose, and the version of what they agreed to, by category."""

    source: str
    versions: Mapping[str, str]


class People:
    """The people behind the links. All raise `Unavailable` when PostgreSQL is away."""

    def __init__(self, repositories: Repositories, directory: UserDirectory, catalogue: Catalogue) -> None:
        self._repositories = repositories
        self._directory = directory
        self._catalogue = catalogue

    async def find(self, user_id: str) -> UserSnapshot:
        """The user as they are now, cached or not."""
        return (await self._directory.load([user_id]))[user_id]

    async def apply(self, user: UserSnapshot, changes: Changes, wording: Wording) -> None:
        """Write all of it; what is not changed is not touched."""
        if changes.rows:
            await self._repositories.preferences.update(
                user.user_id, changes.rows, replace=False, source=wording.source
            )
        for category, granted in changes.consents.items():
            await self._consent(user, category, wording, granted=granted)
        for stop in changes.stops:
            await self._stop(user, stop)

    async def unsubscribe(self, user: UserSnapshot, claim: Unsubscribe, source: str) -> None:
        """Turn a category off on a channel; where it is off on all of its channels then, consent to it is withdrawn."""
        rows = list(switched(self._catalogue, user, claim.channel, claim.category, on=False))
        category = self._catalogue.categories.get(claim.category)
        consents = {}
        if category and category.consent_required and self._is_last(user, claim.channel, claim.category):
            consents = {claim.category: False} if claim.category in user.consents else {}
        versions = {claim.category: category.consent_version} if category else {}
        await self.apply(user, Changes(rows, consents, [], []), Wording(source, versions))

    async def stop_stream(self, user: UserSnapshot, stop: Stop) -> None:
        """Put all of a stream on the suppression list, for the address that the user has now."""
        await self._stop(user, stop)

    def wording(self, source: str, tracking_version: str) -> Wording:
        """The versions of what the preference page asks consent for."""
        versions = {name: category.consent_version for name, category in self._catalogue.categories.items()}
        return Wording(source, {**versions, TOPIC: tracking_version})

    def _is_last(self, user: UserSnapshot, channel: Channel, category: str) -> bool:
        others: Collection[Channel] = [c for c in channels_of(self._catalogue, category) if c != channel]
        return not any(is_on(user, other, category) for other in others)

    async def _consent(self, user: UserSnapshot, category: str, wording: Wording, *, granted: bool) -> None:
        version = wording.versions.get(category, "")
        consent = Consent(category=category, granted=granted, source=wording.source, wording_version=version)
        await self._repositories.users.record_consent(user.user_id, consent)

    async def _stop(self, user: UserSnapshot, stop: Stop) -> None:
        address = {Channel.EMAIL: user.email, Channel.SMS: user.phone}.get(stop.channel)
        suppressions = self._repositories.suppressions
        if stop.on:
            await suppressions.add(stop.channel, user.user_id, address, stop.stream, UNSUBSCRIBED)
            return
        subjects = [Entry(channel=stop.channel, stream=stop.stream, user_id=user.user_id, reason=UNSUBSCRIBED)]
        if address is not None:
            subjects.append(Entry(channel=stop.channel, stream=stop.stream, address=address, reason=UNSUBSCRIBED))
        for entry in subjects:
            await suppressions.remove(entry, every_stream=False)
