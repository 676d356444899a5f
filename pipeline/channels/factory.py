"""Opens the sender of a channel from the settings: the only place that knows which provider serves which channel."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from redis.asyncio import Redis

from pipeline.catalogue.loader import load_catalogue
from pipeline.channels import in_app
from pipeline.channels.base import ChannelSender
from pipeline.channels.chain import ChainSender, LimitsOf, Times
from pipeline.channels.email import EmailSender
from pipeline.channels.in_app import InAppSender, RedisBroadcast
from pipeline.channels.measured import MeasuredSender
from pipeline.channels.ports import DeviceRegistry, Inbox, Suppressions
from pipeline.channels.push import PushSender
from pipeline.channels.push_routes import PushRoutes, is_for_apns, is_for_webpush, push_accounts
from pipeline.channels.rendering import Renderer
from pipeline.channels.routes import ChannelAccount
from pipeline.channels.sms import SmsSender
from pipeline.channels.sms_limits import sms_limits
from pipeline.channels.traced import TracedSender
from pipeline.channels.tracking import Tracker
from pipeline.channels.warm_up import WarmUp
from pipeline.config import AccountSettings, Settings
from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Channel
from pipeline.observability.metrics import Metrics
from pipeline.observability.tracing import Tracing
from pipeline.providers import apns_table, fcm, smtp_table, webpush_table
from pipeline.providers.account import Account, Reaches
from pipeline.providers.apns import Apns
from pipeline.providers.breaker import Breaker, BreakerPolicy
from pipeline.providers.fcm import Fcm
from pipeline.providers.http import CONNECT_TIMEOUT
from pipeline.providers.limits import Limit, Limits, limit_key
from pipeline.providers.mail import MailProvider
from pipeline.providers.mailers import MAILERS
from pipeline.providers.slots import Slots
from pipeline.providers.sms_providers import SMS_PROVIDERS, SmsOffer
from pipeline.providers.webpush import WebPush
from pipeline.storage.references import ReferenceShelf, open_seal
from pipeline.templates.store import TemplateStore
from pipeline.users.snapshot import Device


@dataclass(frozen=True, kw_only=True)
class Stores:
    """What channels read and write besides their provider."""

    redis: Redis
    inbox: Inbox
    devices: DeviceRegistry
    suppressions: Suppressions


Open = Callable[[Settings, Renderer, Stores], ChannelSender]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A provider as a channel has it. `open` makes a sender that speaks to this provider and no other.

    `places`: how many calls it takes at once, where that is bounded; the others wait before they are leased.
    `reaches`: whether it serves a device, given the names of the channel's providers; None: every one.
    """

    open: Open
    places: Callable[[Settings], int] | None = None
    reaches: Callable[[Device, frozenset[str]], bool] | None = None


def _push(make: Callable[[Settings, float], PushRoutes]) -> Open:
    return lambda s, renderer, stores: PushSender(renderer, make(s, s.delivery.provider_timeout), stores.devices)


def _is_for_fcm(device: Device, listed: frozenset[str]) -> bool:
    """All that the others do not serve; without an account at APNs, its tokens too: FCM may know the device."""
    return not is_for_webpush(device) and not (apns_table.NAME in listed and is_for_apns(device))


def _email(make: Callable[[Settings, float], MailProvider]) -> Open:
    return lambda s, renderer, stores: EmailSender(
        renderer,
        make(s, s.delivery.provider_timeout),
        stores.suppressions,
        s.email,
        public_url=s.http.public_url,
        warm_up=WarmUp(stores.redis, s.email.warm_up) if s.email.warm_up else None,
        tracker=_tracker(s),
        seal=open_seal(s),
    )


def _tracker(settings: Settings) -> Tracker | None:
    secret = settings.tracking.secret.get_secret_value()
    if not secret:
        return None
    return Tracker(secret.encode(), settings.http.public_url, load_catalogue(settings.catalogue.path).categories)


def _mailer(name: str) -> Offer:
    """SMTP alone takes only so many mails at once: one for each connection."""
    places = (lambda s: s.providers.smtp.connections) if name == smtp_table.NAME else None
    return Offer(open=_email(lambda s, timeout: MAILERS[name](s.providers, timeout)), places=places)


def _sms(offer: SmsOffer) -> Open:
    return lambda s, renderer, stores: SmsSender(
        renderer,
        offer.open(s.providers, s.delivery.provider_timeout),
        stores.suppressions,
        s.sms,
        public_url=s.http.public_url,
        sender_of=lambda country: offer.sender(s.providers, country),
        references=ReferenceShelf.of(stores.redis, s),
    )


def _inbox(settings: Settings, renderer: Renderer, stores: Stores) -> ChannelSender:
    del settings  # it needs no provider
    return InAppSender(renderer, stores.inbox, RedisBroadcast(stores.redis))


OFFERS: Mapping[Channel, Mapping[str, Offer]] = {
    Channel.PUSH: {
        fcm.NAME: Offer(
            open=_push(lambda s, timeout: PushRoutes(fcm=Fcm(s.providers.fcm, timeout=timeout))),
            reaches=_is_for_fcm,
        ),
        apns_table.NAME: Offer(
            open=_push(lambda s, timeout: PushRoutes(apns=Apns(s.providers.apns, timeout=timeout))),
            reaches=lambda device, _: is_for_apns(device),
        ),
        webpush_table.NAME: Offer(
            open=_push(lambda s, timeout: PushRoutes(webpush=WebPush(s.providers.webpush, timeout=timeout))),
            reaches=lambda device, _: is_for_webpush(device),
        ),
    },
    Channel.EMAIL: {name: _mailer(name) for name in MAILERS},
    Channel.SMS: {name: Offer(open=_sms(offer)) for name, offer in SMS_PROVIDERS.items()},
    Channel.IN_APP: {
        in_app.NAME: Offer(open=_inbox),
    },
}
"""Every provider of every channel: adding one is a line here."""


async def open_sender(
    channel: Channel,
    settings: Settings,
    *,
    redis: Redis,
    inbox: Inbox,
    devices: DeviceRegistry,
    suppressions: Suppressions,
    metrics: Metrics,
    tracing: Tracing | None = None,
) -> ChainSender:
    """The started sender of `channel`, over all accounts in its settings; close it when done.

    Raises:
        CatalogueError: a template cannot be compiled.
        ConfigurationError: a provider's settings are incomplete, or an account's provider is not one of the channel's.
    """
    stores = Stores(redis=redis, inbox=inbox, devices=devices, suppressions=suppressions)
    renderer = Renderer(TemplateStore.load(settings.catalogue.templates, [channel]), channel)
    entries = _listed(channel, settings)
    listed = frozenset(entry.provider_name for entry in entries)
    accounts = [_account(channel, entry, listed, settings, renderer, stores, metrics, tracing) for entry in entries]
    sender = ChainSender(accounts, Limits(redis), metrics, _times(settings), limits_of=_limits_of(channel, settings))
    await sender.start()
    return sender


def _account(
    channel: Channel,
    entry: AccountSettings,
    listed: frozenset[str],
    settings: Settings,
    renderer: Renderer,
    stores: Stores,
    metrics: Metrics,
    tracing: Tracing | None,
) -> ChannelAccount:
    offers = OFFERS[channel]
    if (offer := offers.get(entry.provider_name)) is None:
        raise ConfigurationError(
            f"{channel}.providers: {entry.provider_name!r} is no provider of this channel; there are: "
            f"{', '.join(offers)}"
        )
    own = with_overrides(channel, entry, settings)
    rate = None
    if entry.rate is not None:
        rate = Limit(limit_key(f"{channel}:account", entry.name), entry.rate, entry.burst)
    sender: ChannelSender = MeasuredSender(offer.open(own, renderer, stores), metrics, name=entry.name)
    return Account(
        name=entry.name,
        sender=TracedSender(sender, tracing, entry.name) if tracing else sender,
        breaker=Breaker(BreakerPolicy.of(settings.breaker, random.random)),
        metrics=metrics,
        clock=asyncio.get_running_loop().time,
        weight=entry.weight,
        streams=frozenset(entry.streams),
        categories=frozenset(entry.categories),
        reaches=_reaches(offer, listed),
        limit=rate,
        slots=Slots(offer.places(own)) if offer.places else None,
    )


def _reaches(offer: Offer, listed: frozenset[str]) -> Reaches | None:
    reaches = offer.reaches
    return None if reaches is None else lambda device: reaches(device, listed)


def _listed(channel: Channel, settings: Settings) -> Sequence[AccountSettings]:
    match channel:
        case Channel.PUSH:
            entries = settings.push.providers or push_accounts(settings.providers)
        case Channel.EMAIL:
            entries = settings.email.providers
        case Channel.SMS:
            entries = settings.sms.providers
        case Channel.IN_APP:
            entries = (AccountSettings(name=in_app.NAME),)
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(
            f"{channel}.providers: {', '.join(twice)} is listed twice; give the second a name of its own, and "
            f"`provider` says which one it is"
        )
    return entries


def with_overrides(channel: Channel, entry: AccountSettings, settings: Settings) -> Settings:
    """The settings as this account sees them: its provider's section with its own differences."""
    if not entry.settings:
        return settings
    providers, name = settings.providers, entry.provider_name
    section = getattr(providers, name)
    try:
        own = type(section).model_validate({**section.model_dump(), **entry.settings})
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"{channel}.providers, settings of {entry.name!r}: {what}") from None
    return settings.model_copy(update={"providers": providers.model_copy(update={name: own})})


def _times(settings: Settings) -> Times:
    delivery = settings.delivery
    return Times(delivery.provider_timeout + CONNECT_TIMEOUT, delivery.provider_timeout, delivery.parking_limit)


def _limits_of(channel: Channel, settings: Settings) -> LimitsOf | None:
    return sms_limits(settings.sms) if channel is Channel.SMS else None
