"""The device registry: which devices of a user take push messages."""

import logging
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg
import msgspec

from pipeline.config import DeviceSettings
from pipeline.errors import InvalidDevice
from pipeline.storage.changes import OnChange
from pipeline.storage.postgres import Connection, Pool, reachable
from pipeline.storage.scripts import sql
from pipeline.users.snapshot import Device
from pipeline.users.web_subscription import canonical_subscription, looks_like_subscription

logger = logging.getLogger(__name__)

MAX_PER_USER: int = DeviceSettings().max_per_user
PAGE = 500
PLATFORMS = ("android", "ios", "web")
ENVIRONMENTS = ("", "production", "sandbox")


class RegisteredDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device as it is listed, without its token.

    `registered_at` is when its token came, `last_seen_at` when the app last gave it.
    """

    device_id: str
    platform: str
    environment: str = ""
    app: str = ""
    registered_at: datetime
    last_seen_at: datetime


Listed = list[RegisteredDevice]


class Registered(NamedTuple):
    """A device of somebody, with its token."""

    user_id: str
    device: Device
    registered_at: datetime
    last_seen_at: datetime


class DeviceRegistry:
    """Registers, lists and prunes devices. All raise `Unavailable` when PostgreSQL is away."""

    def __init__(self, pool: Pool, on_change: OnChange, *, max_per_user: int = MAX_PER_USER) -> None:
        self._pool = pool
        self._on_change = on_change
        self._max_per_user = max_per_user

    async def register(self, user_id: str, device: Device) -> Device:
        """Register a device, its fresh token, or that it is still there; returns it as it is kept.

        A token belongs to one device: any other, of whichever user, loses it. A user keeps `max_per_user` devices;
        on one more, the one not seen for longest leaves. A web push subscription is kept in one spelling.

        Raises:
            InvalidDevice: it cannot take push messages; says which field and why.
        """
        device = checked(device)
        await self.put(user_id, [device], replace=False)
        return device

    async def put(self, user_id: str, devices: Sequence[Device], *, replace: bool) -> None:
        """Register each, as `register`; with `replace` the user's other devices go.

        Raises:
            InvalidDevice: one cannot take push messages; then none is registered.
        """
        given = [(user_id, checked(device)) for device in devices]
        with reachable():
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    if replace:
                        await connection.execute(
                            sql("delete_other_devices"), user_id, [device.id for _, device in given]
                        )
                    losers = await put_devices(connection, given, lock=[user_id])
                    evicted = await connection.fetch(sql("evict_devices"), user_id, self._max_per_user)
            except asyncpg.CheckViolationError as error:
                raise InvalidDevice(f"a device is refused by the rule {error.constraint_name}") from None
        for row in evicted:
            logger.info("device pruned", extra={"device_id": row["device_id"], "reason": "too_many_devices"})
        await self._on_change([user_id, *losers])

    async def list(self, user_id: str) -> Listed:
        """The user's devices by id; without their tokens, which are nobody's to see."""
        with reachable():
            rows = await self._pool.fetch(sql("get_devices"), user_id)
        return [RegisteredDevice(**row) for row in rows]

    async def everyone(self) -> AsyncIterator[Registered]:
        """All devices of all users, page by page: memory stays flat. What changes meanwhile may be missed."""
        user_id, device_id = "", ""
        while True:
            with reachable():
                rows = await self._pool.fetch(sql("devices_after"), user_id, device_id, PAGE)
            for row in rows:
                yield _registered(row["user_id"], row)
            if len(rows) < PAGE:
                return
            user_id, device_id = rows[-1]["user_id"], rows[-1]["device_id"]

    async def prune(
        self,
        user_id: str,
        device_id: str,
        reason: str,
        *,
        token: str | None = None,
        dead_since: float | None = None,
    ) -> bool:
        """Delete a device because of `reason`; with `token`, only while that is the device's token.

        Give the token that the provider refused: the app may have registered a fresh one meanwhile. With `dead_since`
        (epoch seconds), a device that was registered or seen after that stays. Returns whether one was deleted.
        """
        since = None if dead_since is None else datetime.fromtimestamp(dead_since, UTC)
        with reachable():
            gone = await self._pool.fetch(sql("delete_device"), user_id, device_id, token, since)
        if gone:
            logger.info("device pruned", extra={"device_id": device_id, "reason": reason})
            await self._on_change([user_id])
        return bool(gone)


def checked(device: Device) -> Device:
    """The device as it is kept.

    Raises:
        InvalidDevice: its platform, environment or token cannot be right; quotes no token.
    """
    if device.platform not in PLATFORMS:
        raise InvalidDevice(f"platform is one of {', '.join(PLATFORMS)}")
    if device.environment not in ENVIRONMENTS:
        raise InvalidDevice("environment is production, sandbox, or left out")
    if not device.id or not device.token:
        raise InvalidDevice("id and token must not be empty")
    if device.platform != "web" or not looks_like_subscription(device.token):
        return device
    try:
        return msgspec.structs.replace(device, token=canonical_subscription(device.token))
    except ValueError as error:
        raise InvalidDevice(f"token: {error}") from None


async def put_devices(
    connection: Connection, devices: Sequence[tuple[str, Device]], *, lock: Sequence[str] = ()
) -> list[str]:
    """Register devices of users by id, inside a transaction; returns who lost a token to them.

    Registrations of the same token take turns, and so do those that name the same user in `lock`.
    """
    user_ids = [user_id for user_id, _ in devices]
    device_ids = [device.id for _, device in devices]
    tokens = [device.token for _, device in devices]
    await connection.execute(sql("lock_tokens"), [*tokens, *(f"user {user_id}" for user_id in lock)])
    losers = await connection.fetch(sql("take_tokens"), user_ids, device_ids, tokens)
    await connection.execute(
        sql("put_devices"),
        user_ids,
        device_ids,
        [device.platform for _, device in devices],
        tokens,
        [device.environment for _, device in devices],
        [device.app for _, device in devices],
    )
    return [row["user_id"] for row in losers]


def _registered(user_id: str, row: asyncpg.Record) -> Registered:
    device = Device(row["device_id"], row["platform"], row["token"], row["environment"], row["app"])
    return Registered(user_id, device, row["registered_at"], row["last_seen_at"])
