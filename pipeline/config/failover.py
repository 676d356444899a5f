"""Which provider accounts serve a channel, in which order, how fast, and when they are left alone."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from pipeline.config.base import Seconds, Section
from pipeline.config.countries import OTHERS, Prices, check_countries

Rate = Annotated[float, Field(gt=0, description="calls a second")]

MAX_SEGMENTS = 10
"""Twilio takes 1,600 characters; beyond ten segments carriers deliver unreliably. https://www.twilio.com/docs/glossary/what-sms-character-limit"""


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
    max_segments: int = Field(
        MAX_SEGMENTS, ge=1, le=MAX_SEGMENTS, description="Segments that one message may take; a longer one fails."
    )
    prices: Prices = Field(
        default_factory=dict,
        description="What a segment costs in each country (ISO 3166 code, `*` for all others), in whichever currency "
        "`max_price` is.",
    )
    max_price: float | None = Field(
        None, gt=0, description="What one message may cost, all its segments; a dearer one fails."
    )

    @field_validator("country_rates")
    @classmethod
    def _are_countries(cls, rates: dict[str, float]) -> dict[str, float]:
        check_countries(rates)
        return rates

    @model_validator(mode="after")
    def _every_country_has_a_price(self) -> Self:
        """A limit that some countries escape would not be one: the dearest are those nobody thought of."""
        if self.max_price is not None and OTHERS not in self.prices:
            raise ValueError(f"max_price needs a price for every country: set sms.prices, with {OTHERS} for all others")
        return self


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
