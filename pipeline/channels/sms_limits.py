"""How fast SMS may go to a country and from a sender: carriers drop, or charge for, what comes faster."""

from collections.abc import Sequence

from pipeline.channels.addresses import country_of
from pipeline.channels.base import Part
from pipeline.channels.chain import LimitsOf
from pipeline.channels.sms import SmsPart
from pipeline.config import SmsSettings
from pipeline.config.countries import by_country
from pipeline.providers.limits import Limit, limit_key


def sms_limits(settings: SmsSettings) -> LimitsOf | None:
    """The limits of a part, by its country and its sender; None where nothing is limited."""
    if not settings.country_rates and settings.sender_rate is None:
        return None

    def limits(part: Part) -> Sequence[Limit]:
        assert isinstance(part.payload, SmsPart)
        sms = part.payload.message
        found = []
        if settings.country_rates and (limit := _country(settings, sms.to)):
            found.append(limit)
        if settings.sender_rate is not None and sms.sender:
            found.append(Limit(limit_key("sms:sender", sms.sender), settings.sender_rate))
        return found

    return limits


def _country(settings: SmsSettings, to: str) -> Limit | None:
    country = country_of(to)
    rate = by_country(settings.country_rates, country)
    return Limit(limit_key("sms:country", country), rate) if rate else None
