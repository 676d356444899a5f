"""Which SMS providers there are, by name."""

from collections.abc import Callable
from typing import NamedTuple

from pipeline.config import ProviderSettings, SnsSettings, TwilioSettings, VonageSettings
from pipeline.config.countries import by_country
from pipeline.providers import sns_table, twilio, vonage_request
from pipeline.providers.sms import SmsProvider
from pipeline.providers.sns import Sns
from pipeline.providers.twilio import Twilio
from pipeline.providers.vonage import Vonage

AccountOf = Callable[[ProviderSettings], TwilioSettings | VonageSettings | SnsSettings]


class SmsOffer(NamedTuple):
    """`open` takes settings and the time in seconds that a send may take; raises `ConfigurationError`.

    `chooses`: it finds a sender by itself, where the settings name none.
    """

    open: Callable[[ProviderSettings, float], SmsProvider]
    account: AccountOf
    chooses: bool = False

    def sender(self, settings: ProviderSettings, country: str) -> str | None:
        """The sender for a country (ISO 3166); "": the provider chooses; None: there is none."""
        account = self.account(settings)
        return by_country(account.senders, country) or account.from_number or ("" if self.chooses else None)


SMS_PROVIDERS: dict[str, SmsOffer] = {
    twilio.NAME: SmsOffer(lambda s, timeout: Twilio(s.twilio, timeout=timeout), lambda s: s.twilio),
    vonage_request.NAME: SmsOffer(lambda s, timeout: Vonage(s.vonage, timeout=timeout), lambda s: s.vonage),
    sns_table.NAME: SmsOffer(lambda s, timeout: Sns(s.sns, timeout=timeout), lambda s: s.sns, chooses=True),
}


def open_sms_provider(name: str, settings: ProviderSettings, *, timeout: float) -> SmsProvider:
    """The provider `name`, not yet started.

    Raises:
        ConfigurationError: its settings are incomplete.
        KeyError: there is no such provider.
    """
    return SMS_PROVIDERS[name].open(settings, timeout)
