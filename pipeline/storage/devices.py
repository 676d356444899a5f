"""The device registry: which devices of a user take push messages."""

import logging
from collections.abc import Sequence
from datetime import datetime

import msgspec

from pipeline.storage.changes import OnChange
from pipeline.storage.postgres import Connection, Pool, reachable
from pipeline.storage.scripts import sql
from pipeline.users.snapshot import Device

logger = logging.getLogger(__name__)


class RegisteredDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device as it is listed. `platform` is ``android``, ``ios`` or ``web``."""

    device_id: str
    platform: str
    registered_at: datetime
    last_seen_at: datetime


class DeviceRegistry:
    """Registers and prunes devices. All raise `Unavailable` when PostgreSQL is away."""

    def __init__(self, pool: Pool, on_change: OnChange) -> None:
        self._pool = pool
        self._on_change = on_change

    async def register(self, user_id: str, device: Device) -> None:
        """Register a device or its fresh token. A token belongs to one device: any other loses it.

        `device.platform` is ``android``, ``ios`` or ``web``.
        """
        with reachable():
            async with self._pool.acquire() as connection, connection.transaction():
                losers = await put_devices(connection, [(user_id, device)])
        await self._on_change([user_id, *losers])

    async def list(self, user_id: str) -> "list[RegisteredDevice]":
        """The user's devices by id; without their tokens, which are nobody's to see."""
        with reachable():
            rows = await self._pool.fetch(sql("get_devices"), user_id)
        return [RegisteredDevice(**row) for row in rows]

    async def put(self, user_id: str, devices: Sequence[Device], *, replace: bool) -> None:
        """Register each, as `register`; with `replace` the user's other devices go."""
        with reachable():
            async with self._pool.acquire() as connection, connection.transaction():
                if replace:
                    await connection.execute(sql("delete_other_devices"), user_id, [device.id for device in devices])
                losers = await put_devices(connection, [(user_id, device) for device in devices])
        await self._on_change([user_id, *losers])

    async def prune(self, user_id: str, device_id: str, reason: str, *, token: str | None = None) -> bool:
        """Delete a device because of `reason`; with `token`, only while that is the device's token.

        Give the token that the provider refused: the app may have registered a fresh one meanwhile. Returns whether
        a device was deleted.
        """
        with reachable():
            gone = await self._pool.fetch(sql("delete_device"), user_id, device_id, token)
        if gone:
            logger.info("device pruned", extra={"device_id": device_id, "reason": reason})
            await self._on_change([user_id])
        return bool(gone)


async def put_devices(connection: Connection, devices: Sequence[tuple[str, Device]]) -> list[str]:
    """Register devices of users by id, inside a transaction; returns who lost a token to them."""
    user_ids = [user_id for user_id, _ in devices]
    device_ids = [device.id for _, device in devices]
    platforms = [device.platform for _, device in devices]
    tokens = [device.token for _, device in devices]
    await connection.execute(sql("lock_tokens"), tokens)
    losers = await connection.fetch(sql("take_tokens"), user_ids, device_ids, tokens)
    await connection.execute(sql("put_devices"), user_ids, device_ids, platforms, tokens)
    return [row["user_id"] for row in losers]
