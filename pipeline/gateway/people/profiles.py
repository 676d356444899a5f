"""``/v1/users/{user_id}``: where and how a person is reached."""

from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pipeline.config import GatewaySettings
from pipeline.events.canonical import Problem
from pipeline.gateway.access import CHANGE_PERSON, READ_PERSON, EndUser
from pipeline.gateway.audit import Auditor
from pipeline.gateway.problems import Refused, bad_request
from pipeline.gateway.routes import Call, Name, Route, Routes
from pipeline.storage.users import UserProfile, Users
from pipeline.users.formats import is_e164, is_email, is_zone

MERGE_PATCH = ("application/json", "application/merge-patch+json")

Email = Annotated[str, Meta(min_length=3, max_length=254, description="One address.")]
Phone = Annotated[str, Meta(min_length=4, max_length=16, description="E.164, such as +12025550100.")]
Locale = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$", max_length=35, description="BCP 47.")]
Zone = Annotated[str, Meta(min_length=1, max_length=64, description="IANA time zone, such as Europe/Berlin.")]

_ADDRESSES = ("email", "phone")


class ProfileBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A profile as a whole: what is left out is not there afterwards."""

    email: Email | None = None
    phone: Phone | None = None
    locale: Locale | None = None
    timezone: Zone | None = None


class ProfilePatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A merge patch (RFC 7396): what is left out stays, null takes away."""

    email: Email | UnsetType | None = UNSET
    phone: Phone | UnsetType | None = UNSET
    locale: Locale | UnsetType | None = UNSET
    timezone: Zone | UnsetType | None = UNSET


class ProfileRoutes:
    """Handlers over the repository."""

    def __init__(self, users: Users, auditor: Auditor, settings: GatewaySettings) -> None:
        self._users = users
        self._auditor = auditor
        self._addresses_are_theirs = settings.users_change_addresses

    def table(self) -> Routes:
        path, tag = "/v1/users/{user_id}", "users"
        return [
            Route(
                method="GET",
                path=path,
                handler=self.get_user,
                access=READ_PERSON,
                summary="A person's profile",
                tag=tag,
                problems=(404,),
            ),
            Route(
                method="PUT",
                path=path,
                handler=self.put_user,
                access=CHANGE_PERSON,
                summary="Create a profile, or replace it",
                tag=tag,
            ),
            Route(
                method="PATCH",
                path=path,
                handler=self.patch_user,
                access=CHANGE_PERSON,
                summary="Change parts of a profile",
                tag=tag,
                problems=(404,),
                content_types=MERGE_PATCH,
            ),
        ]

    async def get_user(self, user_id: Name) -> UserProfile:
        profile = await self._users.get(user_id)
        if profile is None:
            raise _unknown()
        return profile

    async def put_user(self, user_id: Name, body: ProfileBody, call: Call) -> UserProfile:
        profile = UserProfile(user_id=user_id, **msgspec.structs.asdict(body))
        changes = msgspec.structs.asdict(body)
        _check(changes)
        if self._guarded(call):
            old = await self._users.get(user_id) or UserProfile(user_id=user_id)
            self._guard({name: changes[name] for name in _ADDRESSES if changes[name] != getattr(old, name)})
        await self._users.put(profile)
        await self._auditor.note(call, "user.put", user_id, fields=[name for name, value in changes.items() if value])
        return profile

    async def patch_user(self, user_id: Name, body: ProfilePatch, call: Call) -> UserProfile:
        changes = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}
        _check(changes)
        if self._guarded(call):
            self._guard(changes)
        profile = await self._users.patch(UserProfile(user_id=user_id, **changes), changes)
        if profile is None:
            raise _unknown()
        await self._auditor.note(call, "user.patch", user_id, fields=list(changes))
        return profile

    def _guarded(self, call: Call) -> bool:
        return isinstance(call.caller, EndUser) and not self._addresses_are_theirs

    def _guard(self, changes: Mapping[str, object]) -> None:
        if refused := [
            Problem(f"/{name}", "cannot be changed by its owner here") for name in _ADDRESSES if name in changes
        ]:
            raise Refused(403, "Addresses are kept by another system.", refused)


def _unknown() -> Refused:
    return Refused(404, "There is no profile of this user.")


def _check(changes: Mapping[str, str | None]) -> None:
    if problems := list(_problems(changes)):
        raise bad_request(problems)


def _problems(changes: Mapping[str, str | None]) -> Iterator[Problem]:
    """Never quotes a value."""
    email, phone, timezone = (changes.get(name) for name in ("email", "phone", "timezone"))
    if email is not None and not is_email(email):
        yield Problem("/email", "is not an e-mail address")
    if phone is not None and not is_e164(phone):
        yield Problem("/phone", "is not a valid number in E.164, such as +12025550100")
    if timezone is not None and not is_zone(timezone):
        yield Problem("/timezone", "is no IANA time zone, such as Europe/Berlin")
