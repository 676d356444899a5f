"""Opens the sender of a channel from the settings: the only place that knows which provider serves which channel."""

from collections.abc import Callable
from dataclasses import dataclass

from redis.asyncio import Redis

from pipeline.channels.base import ChannelSender
from pipeline.channels.email import EmailSender
from pipeline.channels.in_app import InAppSender, RedisBroadcast
from pipeline.channels.measured import MeasuredSender
from pipeline.channels.ports import DeviceRegistry, Inbox, Suppressions
from pipeline.channels.push import PushSender
from pipeline.channels.rendering import Renderer
from pipeline.channels.sms import SmsSender
from pipeline.channels.warm_up import WarmUp
from pipeline.config import Settings
from pipeline.events.vocabulary import Channel
from pipeline.observability.metrics import Metrics
from pipeline.providers.fcm import Fcm
from pipeline.providers.mailers import open_mailer
from pipeline.providers.twilio import Twilio
from pipeline.templates.store import TemplateStore


@dataclass(frozen=True, kw_only=True)
class Stores:
    """What channels read and write besides their provider."""

    redis: Redis
    inbox: Inbox
    devices: DeviceRegistry
    suppressions: Suppressions


async def open_sender(
    channel: Channel,
    settings: Settings,
    *,
    redis: Redis,
    inbox: Inbox,
    devices: DeviceRegistry,
    suppressions: Suppressions,
    metrics: Metrics,
) -> ChannelSender:
    """The started sender of `channel`; close it when done.

    Raises:
        CatalogueError: a template cannot be compiled.
        ConfigurationError: the provider's settings are incomplete.
    """
    stores = Stores(redis=redis, inbox=inbox, devices=devices, suppressions=suppressions)
    renderer = Renderer(TemplateStore.load(settings.catalogue.templates, [channel]), channel)
    sender = MeasuredSender(_OPEN[channel](settings, renderer, stores), metrics)
    await sender.start()
    return sender


def _open_push(settings: Settings, renderer: Renderer, stores: Stores) -> ChannelSender:
    provider = Fcm(settings.providers.fcm, timeout=settings.delivery.provider_timeout)
    return PushSender(renderer, provider, stores.devices)


def _open_email(settings: Settings, renderer: Renderer, stores: Stores) -> ChannelSender:
    provider = open_mailer(settings.email.provider, settings.providers, timeout=settings.delivery.provider_timeout)
    url, schedules = settings.http.public_url, settings.email.warm_up
    warm_up = WarmUp(stores.redis, schedules) if schedules else None
    return EmailSender(renderer, provider, stores.suppressions, settings.email, public_url=url, warm_up=warm_up)


def _open_sms(settings: Settings, renderer: Renderer, stores: Stores) -> ChannelSender:
    provider = Twilio(settings.providers.twilio, timeout=settings.delivery.provider_timeout)
    return SmsSender(renderer, provider, stores.suppressions, public_url=settings.http.public_url)


def _open_in_app(settings: Settings, renderer: Renderer, stores: Stores) -> ChannelSender:
    del settings  # it needs no provider
    return InAppSender(renderer, stores.inbox, RedisBroadcast(stores.redis))


_OPEN: dict[Channel, Callable[[Settings, Renderer, Stores], ChannelSender]] = {
    Channel.PUSH: _open_push,
    Channel.EMAIL: _open_email,
    Channel.SMS: _open_sms,
    Channel.IN_APP: _open_in_app,
}
