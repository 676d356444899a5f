"""Push: one part a device, each through the provider that serves it."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline.channels.base import Part, Refused
from pipeline.channels.ports import DeviceRegistry
from pipeline.channels.push_routes import PushProvider, PushRoutes, is_for_apns
from pipeline.channels.rendering import Renderer, one_line
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel, Priority, Reason
from pipeline.providers import fcm
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.push_message import MAX_TTL, PushMessage, PushRequest, TooLarge
from pipeline.users.snapshot import Device, UserSnapshot

logger = logging.getLogger(__name__)

MAX_DEVICES = 500
"""Devices of one user that a notification goes to: what one multicast of FCM took."""

_URGENT = frozenset({Priority.CRITICAL, Priority.HIGH})


class PushPart(NamedTuple):
    """A part's payload: what goes to one device, and through whom; or why nothing can (`refusal`)."""

    device: Device
    provider: PushProvider | None
    request: PushRequest | None
    refusal: SendResult | None = None


class PushSender:
    """The push channel."""

    channel = Channel.PUSH
    repeat_is_harmless = False

    def __init__(
        self,
        renderer: Renderer,
        routes: PushRoutes,
        devices: DeviceRegistry,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._renderer = renderer
        self._routes = routes
        self._devices = devices
        self._clock = clock

    async def start(self) -> None:
        for provider in self._routes.providers:
            await provider.start()

    async def close(self) -> None:
        for provider in self._routes.providers:
            await provider.close()

    def prepare(self, dispatch: Dispatch, user: UserSnapshot) -> Sequence[Part]:
        """One part for each device; see `pipeline.channels.base.ChannelSender.prepare`.

        A device that cannot be served (no account for it, the message too large for its provider) is a part that
        fails when it is sent, so that the others get theirs; where that is true of all, nothing is sent at all.
        """
        if not user.devices:
            raise Refused(Reason.NO_ADDRESS, "the user has no device")
        message = self._message(dispatch, self._renderer.render(dispatch, user))
        parts: dict[str, PushPart] = {}
        refused: list[Refused] = []
        for provider, devices in self._routes.grouped(user.devices[:MAX_DEVICES]):
            try:
                parts |= _requests(provider, message, devices)
            except Refused as why:
                refused.append(why)
                parts |= {device.id: _refused(provider, device, why) for device in devices}
        if all(part.refusal for part in parts.values()):
            raise refused[0]
        return [Part(key=device.id, payload=parts[device.id]) for device in user.devices[:MAX_DEVICES]]

    async def send(self, dispatch: Dispatch, part: Part) -> SendResult:  # noqa: ARG002 - as the port has it
        assert isinstance(part.payload, PushPart)
        _, provider, request, refusal = part.payload
        if refusal:
            return refusal
        assert provider
        assert request
        return await provider.send(request)

    async def prune(self, dispatch: Dispatch, part: Part, result: SendResult) -> None:
        """Forget the device, unless it has registered a fresh token since, or its token anew after that was dead.

        That FCM does not know a token of APNs says nothing about the device: there only is no account at APNs. Which
        provider it was, the part knows: `result` names the account, which may have any name.
        """
        assert isinstance(part.payload, PushPart)
        provider = part.payload.provider
        if provider and provider.name == fcm.NAME and is_for_apns(part.payload.device):
            logger.warning("an Apple device stays that FCM does not know: set providers.apns to reach it")
            return
        await self._devices.prune(
            dispatch.event.recipient_id,
            part.key,
            result.error,
            token=part.payload.device.token,
            dead_since=result.dead_since,
        )

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


def _requests(provider: PushProvider | None, message: PushMessage, devices: Sequence[Device]) -> dict[str, PushPart]:
    if provider is None:
        platforms = ", ".join(sorted({device.platform for device in devices}))
        raise Refused(
            Reason.PROVIDER_CONFIGURATION,
            f"no account for the user's devices ({platforms}): set providers.fcm, providers.apns or providers.webpush",
        )
    try:
        requests = provider.prepare(message, devices)
    except TooLarge as error:
        raise Refused(Reason.TOO_LARGE, str(error)) from error
    return {device.id: PushPart(device, provider, request) for device, request in zip(devices, requests, strict=True)}


def _refused(provider: PushProvider | None, device: Device, why: Refused) -> PushPart:
    large = why.reason is Reason.TOO_LARGE
    refusal = SendResult(
        outcome=Outcome.PERMANENT if large else Outcome.CONFIGURATION,
        provider=provider.name if provider else "",
        error=why.reason.value if large else "no_account",
    )
    return PushPart(device, None, None, refusal)
