"""``/v1/users/{user_id}/devices``: where push messages go."""

from collections import Counter
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pipeline.errors import InvalidDevice
from pipeline.events.canonical import Problem
from pipeline.gateway.access import CHANGE_PERSON, READ_PERSON
from pipeline.gateway.audit import Auditor
from pipeline.gateway.problems import Refused, bad_request
from pipeline.gateway.routes import Call, Name, Route, Routes
from pipeline.storage.devices import DeviceRegistry, RegisteredDevice
from pipeline.users.snapshot import Device

MOST_DEVICES = 100

MAX_TOKEN = 2500
"""Characters, as many as the registry takes: a browser's subscription is an address of up to 2,000 and two keys."""

Token = Annotated[
    str, Meta(min_length=1, max_length=MAX_TOKEN, pattern=r"^[\x20-\x7e]+$", description="The provider's.")
]


class DeviceBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device and the token that the provider gave it. A token belongs to one device: any other loses it."""

    device_id: Name
    platform: Literal["android", "ios", "web"]
    token: Token
    environment: Literal["", "production", "sandbox"] = ""
    """Where APNs knows the token; empty: in production."""
    app: Annotated[str, Meta(max_length=255)] = ""
    """The app's bundle id, where it is not the account's."""


class DevicesBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PUT: these devices instead of all; PATCH: these beside the others."""

    devices: Annotated[list[DeviceBody], Meta(max_length=MOST_DEVICES)]


class DevicesView(msgspec.Struct, frozen=True, kw_only=True):
    """A person's devices, without their tokens."""

    user_id: str
    devices: list[RegisteredDevice]


class DeviceRoutes:
    """Handlers over the registry."""

    def __init__(self, registry: DeviceRegistry, auditor: Auditor) -> None:
        self._registry = registry
        self._auditor = auditor

    def table(self) -> Routes:
        path, tag = "/v1/users/{user_id}/devices", "devices"
        return [
            Route(
                method="GET",
                path=path,
                handler=self.get_devices,
                access=READ_PERSON,
                summary="A person's devices",
                tag=tag,
            ),
            Route(
                method="POST",
                path=path,
                handler=self.register_device,
                access=CHANGE_PERSON,
                summary="Register a device, or its fresh token",
                tag=tag,
            ),
            Route(
                method="PUT",
                path=path,
                handler=self.put_devices,
                access=CHANGE_PERSON,
                summary="Replace all devices",
                tag=tag,
            ),
            Route(
                method="PATCH",
                path=path,
                handler=self.patch_devices,
                access=CHANGE_PERSON,
                summary="Register some devices, or their fresh tokens",
                tag=tag,
            ),
            Route(
                method="DELETE",
                path=path + "/{device_id}",
                handler=self.delete_device,
                access=CHANGE_PERSON,
                summary="Forget a device",
                tag=tag,
                problems=(404,),
            ),
        ]

    async def get_devices(self, user_id: Name) -> DevicesView:
        return DevicesView(user_id=user_id, devices=await self._registry.list(user_id))

    async def register_device(self, user_id: Name, body: DeviceBody, call: Call) -> DevicesView:
        return await self._put(user_id, [body], call, replace=False)

    async def put_devices(self, user_id: Name, body: DevicesBody, call: Call) -> DevicesView:
        return await self._put(user_id, body.devices, call, replace=True)

    async def patch_devices(self, user_id: Name, body: DevicesBody, call: Call) -> DevicesView:
        return await self._put(user_id, body.devices, call, replace=False)

    async def delete_device(self, user_id: Name, device_id: Name, call: Call) -> None:
        if not await self._registry.prune(user_id, device_id, "deleted"):
            raise Refused(404, "This user has no device with this id.")
        await self._auditor.note(call, "device.delete", user_id, device_id=device_id)

    async def _put(self, user_id: str, bodies: list[DeviceBody], call: Call, *, replace: bool) -> DevicesView:
        for name in ("device_id", "token"):
            seen = Counter(getattr(body, name) for body in bodies)
            if twice := [i for i, body in enumerate(bodies) if seen[getattr(body, name)] > 1]:
                raise bad_request([Problem(f"/devices/{i}/{name}", "stands here twice") for i in twice])
        devices = [Device(body.device_id, body.platform, body.token, body.environment, body.app) for body in bodies]
        try:
            await self._registry.put(user_id, devices, replace=replace)
        except InvalidDevice as error:
            raise bad_request([Problem("", str(error))]) from None
        ids = [device.id for device in devices]
        await self._auditor.note(call, "devices.put" if replace else "devices.register", user_id, device_ids=ids)
        return await self.get_devices(user_id)
