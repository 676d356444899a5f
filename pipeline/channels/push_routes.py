"""Which provider serves a device: by its platform, by what its token looks like, and by what accounts there are."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.config import AccountSettings, ProviderSettings
from pipeline.errors import ConfigurationError
from pipeline.providers import apns_table, fcm, webpush_table
from pipeline.providers.apns import is_apns_token
from pipeline.providers.base import SendResult
from pipeline.providers.push_message import PushMessage, PushRequest
from pipeline.users.snapshot import Device
from pipeline.users.web_subscription import looks_like_subscription


class PushProvider(Protocol):
    """What the push channel needs of a provider."""

    @property
    def name(self) -> str: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    def prepare(self, message: PushMessage, devices: Sequence[Device]) -> Sequence[PushRequest]:
        """One request for each device, in their order.

        Raises:
            TooLarge: the provider would refuse the message.
        """

    async def send(self, request: PushRequest) -> SendResult:
        """Send one request. Never raises for what a provider or the network does."""


def is_for_apns(device: Device) -> bool:
    """Whether its token is one of APNs."""
    return device.platform == "ios" and is_apns_token(device.token)


def is_for_webpush(device: Device) -> bool:
    """Whether its token is a browser's subscription."""
    return device.platform == "web" and looks_like_subscription(device.token)


def is_for_fcm(device: Device) -> bool:
    """Whether its token is neither."""
    return not is_for_apns(device) and not is_for_webpush(device)


@dataclass(frozen=True, kw_only=True)
class PushRoutes:
    """The accounts there are; None: there is none."""

    fcm: PushProvider | None = None
    apns: PushProvider | None = None
    webpush: PushProvider | None = None

    @property
    def providers(self) -> list[PushProvider]:
        """Those that are there."""
        return [provider for provider in (self.fcm, self.apns, self.webpush) if provider]

    def of(self, device: Device) -> PushProvider | None:
        """Who serves `device`: APNs an Apple device with a token of APNs, web push a subscription, FCM all else.

        An Apple device's token of FCM goes through FCM, whatever accounts there are: APNs does not know it.
        """
        if self.apns and is_for_apns(device):
            return self.apns
        return self.webpush if is_for_webpush(device) else self.fcm

    def grouped(self, devices: Iterable[Device]) -> Iterator[tuple[PushProvider | None, Sequence[Device]]]:
        """The devices of each provider, and of none."""
        groups: dict[int, tuple[PushProvider | None, list[Device]]] = {}
        for device in devices:
            provider = self.of(device)
            groups.setdefault(id(provider), (provider, []))[1].append(device)
        return iter(groups.values())


def push_accounts(settings: ProviderSettings) -> tuple[AccountSettings, ...]:
    """Every push provider that is set up, where no list of accounts says which.

    Raises:
        ConfigurationError: there is none.
    """
    fcm_, apns_, webpush_ = settings.fcm, settings.apns, settings.webpush
    set_up = {
        fcm.NAME: bool(fcm_.service_account or fcm_.project_id),
        apns_table.NAME: bool(apns_.signing_key or apns_.team_id or apns_.key_id),
        webpush_table.NAME: bool(webpush_.vapid_key.get_secret_value() or webpush_.subject),
    }
    if not any(set_up.values()):
        raise ConfigurationError(
            "no push provider has an account: set providers.fcm.service_account (a service-account JSON file), "
            "providers.apns.signing_key or providers.webpush.vapid_key"
        )
    return tuple(AccountSettings(name=name) for name, there in set_up.items() if there)
