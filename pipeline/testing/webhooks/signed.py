"""What every signer makes."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from pipeline.testing.receipts import Receipt

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

Clock = Callable[[], float]
"""Seconds since the epoch; a test of stale webhooks turns it back."""

now: Clock = time.time


class Signed(NamedTuple):
    """A request as the provider sends it."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Signer(Protocol):
    """One account at one provider, as far as its webhooks go."""

    name: str

    def receipt(self, receipt: Receipt, url: str) -> Signed:
        """The webhook that tells of `receipt`, for an endpoint at `url` (where the message did not name another)."""
