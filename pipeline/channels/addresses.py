"""Addresses as providers take them: checked, in the one form that travels."""

import functools
import re

import idna
import phonenumbers

NO_COUNTRY = "001"
"""ISO 3166 has none for it: satellite and other international numbers (as libphonenumber has it)."""

_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_DOMAIN = re.compile(r"([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def email_address(text: str) -> str | None:
    """The address in ASCII (an IDN domain in its ``xn--`` form), or None if it cannot be written to.

    RFC 5321, dot-atom local parts only. A local part beyond ASCII needs SMTPUTF8 all the way to the mailbox, which
    hardly a relay promises, so it counts as no address.
    """
    local, at, domain = text.strip().rpartition("@")
    if not at or len(local) > 64 or not _LOCAL.fullmatch(local):
        return None
    ascii_domain = domain if domain.isascii() else _to_ascii(domain)
    if not ascii_domain or not _DOMAIN.fullmatch(ascii_domain) or len(local) + len(ascii_domain) > 253:
        return None
    return f"{local}@{ascii_domain}"


def _to_ascii(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        return ""


@functools.lru_cache(maxsize=4096)
def phone_number(text: str) -> str | None:
    """The number in E.164, or None if it can be none (no country code, wrong length).

    Whether the number is *assigned* is the provider's to say: numbering plans open faster than tables are updated.
    """
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@functools.lru_cache(maxsize=4096)
def country_of(e164: str) -> str:
    """The ISO 3166 code of a number's country, or `NO_COUNTRY`.

    A number that no plan lists belongs to the main country of its calling code: +1 is the United States.
    """
    number = phonenumbers.parse(e164)
    return phonenumbers.region_code_for_number(number) or phonenumbers.region_code_for_country_code(
        number.country_code or 0
    )
