"""Which provider accounts serve a channel, in which order, how fast, and when they are left alone."""

import re
from typing import Annotated

from pydantic import Field, field_validator

from pipeline.config.base import Seconds, Section

Rate = Annotated[float, Field(gt=0, description="calls a second")]

_COUNTRY = re.compile(r"[A-Z]{2}|\*")


class AccountSettings(Section):
    """One account in a channel's list. The list's order is the order of failover."""

    name: str = Field(description="The provider; or any name, where `provider` says which one it is.")
    provider: str = Field("", description="The provider, where `name` is another name.")
    weight: int = Field(
        0,
        ge=0,
        description="Its share of the notifications that are given to it first. Where nobody in the list has a "
        "weight, all begin with the first.",
    )
    streams: tuple[str, ...] = Field((), description="Only these streams (`transactional`, `marketing`).")
    categories: tuple[str, ...] = Field((), description="Only these categories of the catalogue.")
    rate: Rate | None = Field(None, description="Calls a second, over all workers together.")
    burst: int = Field(1, ge=1, description="Calls that may come at once within the rate.")
    settings: dict[str, str | int | float | bool | dict[str, str] | None] = Field(
        default_factory=dict, description="What differs from `providers.<provider>`."
    )

    @property
    def provider_name(self) -> str:
        return self.provider or self.name


Accounts = Annotated[tuple[AccountSettings, ...], Field(min_length=1)]


class PushSettings(Section):
    """Who sends push messages."""

    providers: tuple[AccountSettings, ...] = Field(
        (),
        description="Accounts, in the order of failover; fields: docs/isolation.md. Empty: every provider that is set up.",
    )


class SmsSettings(Section):
    """Who sends SMS, and how fast."""

    providers: Accounts = Field(
        (AccountSettings(name="twilio"),), description="Accounts, in the order of failover; fields: docs/isolation.md."
    )
    country_rates: dict[str, Rate] = Field(
        default_factory=dict,
        description="Messages a second for each country (ISO 3166 code, `*` for each of the others), over all workers.",
    )
    sender_rate: Rate | None = Field(
        None, description="Messages a second for each sender number, over all workers; US long codes bear 1."
    )

    @field_validator("country_rates")
    @classmethod
    def _are_countries(cls, rates: dict[str, float]) -> dict[str, float]:
        if wrong := sorted(code for code in rates if not _COUNTRY.fullmatch(code)):
            raise ValueError(f"{', '.join(wrong)}: write two capital letters (DE, US), or * for all others")
        return rates


class BreakerSettings(Section):
    """When an account that fails is left alone."""

    failures: int = Field(5, ge=1, description="Failures in a row, of more than one notification, that open it.")
    window: int = Field(50, ge=1, description="Calls over which the share of failures is taken.")
    share: float = Field(0.8, gt=0, le=1, description="Share of failures in a full window that opens it.")
    open_for: Seconds = Field(
        1, description="How long it is open before the first probe; doubles with each that fails."
    )
    open_cap: Seconds = Field(30, description="Longest time between two probes.")
    close_after: int = Field(1, ge=1, description="Probes in a row, one at a time, that must go well to close it.")
