"""Settings that differ by country."""

from collections.abc import Iterable
from typing import Annotated, TypeVar

from pydantic import AfterValidator

OTHERS = "*"
"""Stands for every country that is not named."""

_SLIPS = {"UK": "GB", "EN": "GB", "EL": "GR"}

V = TypeVar("V")


def check_countries(codes: Iterable[str]) -> None:
    """Raises `ValueError` where one is neither an ISO 3166 code of a country with telephones nor `OTHERS`."""
    wrong = sorted(code for code in codes if code != OTHERS and not _is_country(code))
    if wrong:
        meant = [f"{code} is {_SLIPS[code]}" for code in wrong if code in _SLIPS]
        raise ValueError(
            f"{', '.join(wrong)}: write two capital letters (DE, US), or {OTHERS} for all others"
            + (f"; {', '.join(meant)}" if meant else "")
        )


def by_country(values: dict[str, V], country: str) -> V | None:
    """The value of a country, else that of all others; None: there is neither."""
    return values.get(country, values.get(OTHERS))


def _is_country(code: str) -> bool:
    from phonenumbers import SUPPORTED_REGIONS

    return code in SUPPORTED_REGIONS


def _checked(values: dict[str, V]) -> dict[str, V]:
    check_countries(values)
    return values


Senders = Annotated[dict[str, str], AfterValidator(_checked)]
Prices = Annotated[dict[str, float], AfterValidator(_checked)]
