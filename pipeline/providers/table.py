"""What an error table is made of: each row says who is at fault, and where the provider says so."""

from typing import NamedTuple

from pipeline.providers.base import Outcome


class Row(NamedTuple):
    """One row of a provider's error table. `source` is the page or file that the row was taken from."""

    outcome: Outcome
    source: str
