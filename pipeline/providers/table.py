"""What an error table is made of: each row says who is at fault, and where the provider says so."""

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.providers.base import Outcome, Scope


class Row(NamedTuple):
    """One row of a provider's error table. `source` is the page or file that the row was taken from.

    `scope`: whom it concerns, where the answer says so by itself; the account's circuit breaker asks.
    """

    outcome: Outcome
    source: str
    scope: Scope = Scope.UNKNOWN


def by_status(rows: Mapping[int, Row], status: int) -> tuple[Outcome, Scope]:
    """What an HTTP status means, where nothing else is known; one that no row has by its class.

    Other 4xx are PERMANENT, other 5xx TRANSIENT; anything else is not the API that we meant to ask.
    """
    if row := rows.get(status):
        return row.outcome, row.scope
    if status >= 500:
        return Outcome.TRANSIENT, Scope.UNKNOWN
    return Outcome.PERMANENT if status >= 400 else Outcome.CONFIGURATION, Scope.UNKNOWN
