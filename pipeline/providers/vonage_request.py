"""What Vonage's two APIs share."""

from typing import NamedTuple

NAME = "vonage"

MOST_CALLBACK = 100
"""Characters of an address for receipts, in the models of Vonage's own clients. A longer one is left out: the receipt
then comes to the address that the account or the application names, and the client reference says whose it is."""

_SHORTEST_TTL, _LONGEST_TTL = 20, 604_800
"""Seconds, of both APIs."""


class Request(NamedTuple):
    """One HTTP request."""

    method: str
    url: str
    body: bytes
    headers: dict[str, str]


def plain_number(text: str) -> str:
    """A number without the leading plus, which Vonage does not take; a name as it is."""
    return text.removeprefix("+")


def ttl_within(seconds: int) -> int:
    """A time to live as Vonage takes it."""
    return min(max(seconds, _SHORTEST_TTL), _LONGEST_TTL)
