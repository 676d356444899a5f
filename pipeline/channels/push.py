"""Push: one part a device, through FCM."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from pipeline.channels.base import Part, Refused
from pipeline.channels.ports import DeviceRegistry
from pipeline.channels.rendering import Renderer, one_line
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel, Priority, Reason
from pipeline.providers.base import SendResult
from pipeline.providers.fcm_message import MAX_PAYLOAD, MAX_TTL, PushMessage, device_body, open_body
from pipeline.users.snapshot import UserSnapshot

MAX_DEVICES = 500
"""Devices of one user that a notification goes to: what one multicast of FCM took."""

_URGENT = frozenset({Priority.CRITICAL, Priority.HIGH})


class PushProvider(Protocol):
    """What this channel needs of `pipeline.providers.fcm.Fcm`."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, body: bytes) -> SendResult: ...


class PushPart(NamedTuple):
    """A part's payload: the complete request body for one device."""

    token: str
    body: bytes


class PushSender:
    """The push channel."""

    channel = Channel.PUSH
    repeat_is_harmless = False

    def __init__(
        self,
        renderer: Renderer,
        provider: PushProvider,
        devices: DeviceRegistry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._renderer = renderer
        self._provider = provider
        self._devices = devices
        self._clock = clock

    async def start(self) -> None:
        await self._provider.start()

    async def close(self) -> None:
        await self._provider.close()

    def prepare(self, dispatch: Dispatch, user: UserSnapshot) -> Sequence[Part]:
        """One part for each device; see `pipeline.channels.base.ChannelSender.prepare`."""
        if not user.devices:
            raise Refused(Reason.NO_ADDRESS, "the user has no device")
        opened = open_body(self._message(dispatch, self._renderer.render(dispatch, user)))
        if len(opened) > MAX_PAYLOAD:
            raise Refused(Reason.TOO_LARGE, f"the push message takes {len(opened)} bytes, {MAX_PAYLOAD} are allowed")
        return [
            Part(key=device.id, payload=PushPart(device.token, device_body(opened, device.token)))
            for device in user.devices[:MAX_DEVICES]
        ]

    async def send(self, dispatch: Dispatch, part: Part) -> SendResult:  # noqa: ARG002 - as the port has it
        assert isinstance(part.payload, PushPart)
        return await self._provider.send(part.payload.body)

    async def prune(self, dispatch: Dispatch, part: Part, result: SendResult) -> None:
        """Forget the device, unless it has registered a fresh token since."""
        assert isinstance(part.payload, PushPart)
        await self._devices.prune(dispatch.event.recipient_id, part.key, result.error, token=part.payload.token)

    def _message(self, dispatch: Dispatch, text: dict[str, str]) -> PushMessage:
        expires_at = dispatch.expires_at // 1000 if dispatch.expires_at is not None else None
        ttl = None if expires_at is None else min(max(0, expires_at - int(self._clock())), MAX_TTL)
        return PushMessage(
            notification_id=dispatch.notification_id,
            event_type=dispatch.event.event_type,
            title=one_line(text["title"]),
            body=text["body"].strip(),
            high_priority=dispatch.priority in _URGENT,
            collapse_key=dispatch.collapse_key,
            ttl=ttl,
            expires_at=expires_at,
        )
