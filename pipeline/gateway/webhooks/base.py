"""What every provider's webhook is made of: a request, the proof that it is the provider's, and what it tells."""

import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from pipeline.errors import PipelineError
from pipeline.events.vocabulary import Channel, Reason, Status
from pipeline.suppression.keywords import Keyword


class Posted(NamedTuple):
    """A request as it came in. `url` is the one that the provider called; `headers` are found in any case."""

    url: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content_type: str
    body: bytes


class Untrusted(PipelineError):
    """The request is not the provider's, or not of now. Its text names what is wrong, never what was signed."""


class Unreadable(PipelineError):
    """The request is the provider's, and not what its documents say."""


class Suppress(NamedTuple):
    """An address that is not to be written to any more. `whole`: on both streams, else on that of the message alone."""

    address: str
    reason: str
    whole: bool = True


class Receipt(NamedTuple):
    """What became of one message. `notification_id` and `reference` as they were sent along; empty: it has none.

    `occurred_at` in ms; None: the provider does not say. `detail`: see `pipeline.events.references.Feedback`.
    """

    notification_id: str
    reference: str
    status: Status
    reason: Reason
    occurred_at: int | None
    message_id: str
    detail: str = ""
    suppress: Sequence[Suppress] = ()


class InboundSms(NamedTuple):
    """A person wrote to one of our numbers. `sender` in E.164."""

    sender: str
    keyword: Keyword


class Ignored(NamedTuple):
    """Of no interest; `what` is the provider's own word for it."""

    what: str


Told = Receipt | InboundSms | Ignored


class Webhook(Protocol):
    """One provider's."""

    name: str
    channel: Channel
    refusal: int
    """The HTTP status that makes the provider not repeat what was refused."""

    async def verify(self, posted: Posted, now: float) -> str:
        """See that the provider has signed the request, and lately; nothing but what the proof needs is read before.

        Returns what a second request with other content may not have again. `now` in seconds since the epoch.

        Raises:
            Untrusted: it is not signed, or long ago.
            Unavailable: what the proof needs cannot be had now.
        """

    async def read(self, posted: Posted) -> Sequence[Told]:
        """What a verified request tells.

        Raises:
            Unreadable: not what its documents say.
            Unavailable: what it asks for cannot be done now.
        """


def same(one: str, other: str) -> bool:
    """Whether two signatures are equal, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(one.encode(errors="surrogateescape"), other.encode(errors="surrogateescape"))


def require_fresh(timestamp: float, now: float, max_age: float) -> None:
    """See that a signed time (s) is near `now`.

    Raises:
        Untrusted: it is more than `max_age` seconds away.
    """
    if not abs(now - timestamp) <= max_age:
        raise Untrusted(f"The signed timestamp is more than {max_age:g} s away from now.")


def seconds(text: str) -> float:
    """A signed timestamp in seconds since the epoch.

    Raises:
        Untrusted: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Untrusted("The timestamp is missing, or is not in seconds since the epoch.")
    return float(text)


def milliseconds(at: float) -> int | None:
    """A time in seconds as one in ms; None where it is none that a clock shows."""
    return int(at * 1000) if 0 < at < 2**40 else None


def read_time(text: str) -> int | None:
    """A time in ISO 8601, UTC unless it says otherwise, in ms; None: it is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
