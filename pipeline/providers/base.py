"""What every provider speaks: a `SendResult`, classified once by the provider's own error table.

The delivery engine decides only by `Outcome`; it never looks at a status code.
"""

from dataclasses import dataclass
from enum import Enum, auto

from pipeline.events.vocabulary import Reason


class Outcome(Enum):
    """Who is at fault decides what happens (tables: ``docs/providers.md``)."""

    ACCEPTED = auto()
    """The provider took it."""
    INVALID_RECIPIENT = auto()
    """The address is dead: prune the token or suppress the address; the notification fails."""
    PERMANENT = auto()
    """This message will never be accepted; the notification fails."""
    CONFIGURATION = auto()
    """Our account, credentials or sender are refused: nothing is wrong with the notification (dead letter)."""
    THROTTLED = auto()
    """Wait what the provider asks; costs no try."""
    TRANSIENT = auto()
    """It was certainly not accepted; try again with backoff."""
    AMBIGUOUS = auto()
    """The answer was lost (timeout, reset after the request was written): it may have been accepted."""


class Scope(Enum):
    """Whom a failure concerns beside this message; the circuit breaker asks (``docs/isolation.md``)."""

    UNKNOWN = auto()
    """It may be the message, it may be the provider: told apart by how others fare."""
    MESSAGE = auto()
    """This message or this recipient alone; the account is well."""
    ACCOUNT = auto()
    """Everybody: credentials that are refused, a server that nobody reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResult:
    """One provider's answer to one request.

    `message_id` is the provider's; `error` a short code from the provider's vocabulary (no address, no content);
    `retry_after` seconds that the provider asked for. `tried`: the answers of other accounts that this one stands in
    for, in the order in which they were called. `dead_since`, in epoch seconds, goes with INVALID_RECIPIENT: when the
    provider found out that the address was dead; what was registered after that is spared. `waits_for` goes with
    THROTTLED: a rule of ours holds it back, not the provider, and no other account may have it meanwhile.
    """

    outcome: Outcome
    provider: str
    message_id: str = ""
    error: str = ""
    retry_after: float | None = None
    scope: Scope = Scope.UNKNOWN
    held: bool = False
    tried: "tuple[SendResult, ...]" = ()
    dead_since: float | None = None
    waits_for: Reason | None = None
