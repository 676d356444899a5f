"""How a sending pool with new IP addresses or a new domain is warmed up."""

from datetime import date
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from pipeline.config.base import Section

DAILY = (50, 100, 500, 1_000, 5_000, 10_000, 20_000, 40_000, 70_000, 100_000, 150_000, 250_000, 400_000, 600_000)
"""Mails on each day, for one IP address: a doubling or so a day, the shape that SendGrid recommends.
https://www.twilio.com/docs/sendgrid/ui/sending-email/warming-up-an-ip-address"""


class WarmUpSettings(Section):
    """The schedule of one pool. After its last day the pool has no limit."""

    since: date = Field(description="The first day (UTC), as in 2026-03-01.")
    daily: tuple[PositiveInt, ...] = Field(DAILY, min_length=1, description="How many mails on the first day, and on.")
    excess: Literal["defer", "warm_pool"] = Field(
        "defer", description="What becomes of more mail: it waits for the next day, or goes through `warm_pool`."
    )
    warm_pool: str = Field("", description="The pool that is warm already; the providers' settings say what it is.")

    @model_validator(mode="after")
    def _has_a_pool_for_the_excess(self) -> "WarmUpSettings":
        if self.excess == "warm_pool" and not self.warm_pool:
            raise ValueError("excess: warm_pool needs the name of the pool in warm_pool")
        return self
