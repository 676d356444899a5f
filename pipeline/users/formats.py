"""What addresses, zones and quiet hours must look like. Pure."""

import re
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers

QUIET_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
CLOCK_PATTERN = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
"""``HH:MM``."""

_EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f<>,;:\"()\[\]\\]{1,64}@[^\s@\x00-\x1f\x7f<>,;:\"()\[\]\\]{1,255}")
MOST_EMAIL = 254


def is_e164(phone: str) -> bool:
    """Whether it is a number that can exist, written as ``+12025550100``."""
    try:
        number = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return False
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return phonenumbers.is_valid_number(number) and e164 == phone


def is_email(address: str) -> bool:
    """Whether it has the shape of one address: only a mail that arrives proves more."""
    return len(address) <= MOST_EMAIL and _EMAIL.fullmatch(address) is not None


@lru_cache(maxsize=2048)
def is_zone(name: str) -> bool:
    """Whether it is an IANA time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def seconds_since_midnight(clock: str) -> int:
    """Of a time that matches `CLOCK_PATTERN`."""
    hour, minute = clock.split(":")
    return int(hour) * 3600 + int(minute) * 60


def clock_time(seconds: int) -> str:
    """``HH:MM`` of seconds since midnight; seconds beyond the minute are left out."""
    return f"{seconds // 3600:02d}:{seconds % 3600 // 60:02d}"
