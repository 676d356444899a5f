"""What an error table is made of: each row says who is at fault, and where the provider says so."""

from typing import NamedTuple

from pipeline.providers.base import Outcome, Scope


class Row(NamedTuple):
    """One row of a provider's error table. `source` is the page or file that the row was taken from.

    `scope`: whom it concerns, where the answer says so by itself; the account's circuit breaker asks.
    """

    outcome: Outcome
    source: str
    scope: Scope = Scope.UNKNOWN
