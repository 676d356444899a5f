"""Profiles and consents."""

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from pipeline.storage.changes import OnChange
from pipeline.storage.postgres import Connection, Pool, reachable
from pipeline.storage.scripts import sql
from pipeline.users.snapshot import UserSnapshot


class UserProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how a user is reached. `phone` in E.164, `locale` a BCP 47 tag, `timezone` an IANA name."""

    user_id: str
    email: str | None = None
    phone: str | None = None
    locale: str | None = None
    timezone: str | None = None


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """A user's word on one category: given or withdrawn, when (None: now), where, to which wording."""

    category: str
    granted: bool
    at: datetime | None = None
    source: str = ""
    wording_version: str = ""


class Users:
    """Reads and writes profiles, records consents. All raise `Unavailable` when PostgreSQL is away."""

    def __init__(self, pool: Pool, on_change: OnChange) -> None:
        self._pool = pool
        self._on_change = on_change

    async def get(self, user_id: str) -> UserProfile | None:
        with reachable():
            row = await self._pool.fetchrow(sql("get_user"), user_id)
        return UserProfile(**row) if row else None

    async def put(self, profile: UserProfile) -> None:
        """Create or replace a profile as a whole."""
        with reachable():
            await put_profiles(self._pool, [profile])
        await self._on_change([profile.user_id])

    async def patch(self, profile: UserProfile, fields: Collection[str]) -> UserProfile | None:
        """Change only `fields` (names of `UserProfile`) and return the whole profile; None: there is none."""
        values = (profile.email, profile.phone, profile.locale, profile.timezone)
        with reachable():
            row = await self._pool.fetchrow(sql("patch_user"), profile.user_id, list(fields), *values)
        if row is None:
            return None
        await self._on_change([profile.user_id])
        return UserProfile(**row)

    async def record_consent(self, user_id: str, consent: Consent) -> None:
        """Add to the history of consents; the newest of a category counts."""
        values = (consent.category, consent.granted, consent.at, consent.source, consent.wording_version)
        with reachable():
            await self._pool.execute(sql("add_consent"), user_id, *values)
        await self._on_change([user_id])


async def put_profiles(connection: Connection | Pool, profiles: Sequence[UserProfile | UserSnapshot]) -> None:
    """Create or replace profiles as a whole, each user at most once."""
    await connection.execute(
        sql("put_users"),
        [profile.user_id for profile in profiles],
        [profile.email for profile in profiles],
        [profile.phone for profile in profiles],
        [profile.locale for profile in profiles],
        [profile.timezone for profile in profiles],
    )
