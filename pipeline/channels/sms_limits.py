"""How fast SMS may go to a country and from a sender: carriers drop, or charge for, what comes faster."""

from collections.abc import Sequence

import phonenumbers

from pipeline.channels.base import Part
from pipeline.channels.chain import LimitsOf
from pipeline.channels.sms import SmsPart
from pipeline.config import SmsSettings
from pipeline.providers.limits import Limit, limit_key

OTHERS = "*"
NO_COUNTRY = "001"
"""ISO 3166 has none for it: satellite and other international numbers (as libphonenumber has it)."""


def sms_limits(settings: SmsSettings) -> LimitsOf | None:
    """The limits of a part, by its country and its sender; None where nothing is limited."""
    if not settings.country_rates and settings.sender_rate is None:
        return None

    def limits(part: Part) -> Sequence[Limit]:
        sms = part.payload
        assert isinstance(sms, SmsPart)
        found = []
        if settings.country_rates and (limit := _country(settings, sms.to)):
            found.append(limit)
        if settings.sender_rate is not None and sms.sender:
            found.append(Limit(limit_key("sms:sender", sms.sender), settings.sender_rate))
        return found

    return limits


def _country(settings: SmsSettings, to: str) -> Limit | None:
    country = phonenumbers.region_code_for_number(phonenumbers.parse(to)) or NO_COUNTRY
    rate = settings.country_rates.get(country, settings.country_rates.get(OTHERS))
    return Limit(limit_key("sms:country", country), rate) if rate else None
