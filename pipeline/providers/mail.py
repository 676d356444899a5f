"""One mail in terms that every mail provider understands: a failover chain can hand the same mail to any of them."""

from typing import NamedTuple, Protocol

from pipeline.providers.base import SendResult


class MailMessage(NamedTuple):
    """A mail ready to send: by its fields, for HTTP APIs, and as a complete MIME message, for SMTP and SES.

    Both say the same. Addresses are ASCII (`pipeline.channels.addresses.email_address`); `sender_name` and `subject`
    are one line of any text, not encoded; `headers` are further header lines, ASCII, without those that the other
    fields make (From, To, Subject, Date, MIME-Version, Content-Type).
    """

    sender: str
    sender_name: str
    recipient: str
    subject: str
    text: str
    """Plain text; may be empty, `html` is not."""
    html: str
    headers: tuple[tuple[str, str], ...]
    notification_id: str
    category: str
    stream: str
    """``transactional`` or ``marketing``."""
    pool: str
    """Which sending pool it goes out through, in our own words: the stream's name unless IP warm-up says otherwise.

    Each provider's settings say what a pool is there: a configuration set, an IP pool, a domain.
    """
    content: bytes
    """The message in MIME: all lines ASCII, ending in CRLF."""
    reference: str = ""
    """What a provider's webhook must bring back beside the id (`pipeline.events.references.Seal`); empty: nothing."""


class MailProvider(Protocol):
    """What the e-mail channel needs of an account at a mail provider."""

    @property
    def name(self) -> str:
        """The provider's name in status records and metrics."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, mail: MailMessage) -> SendResult:
        """Send one mail. Never raises for what the network or the provider does."""

    async def check(self) -> SendResult:
        """Whether the account could send now, without sending: ACCEPTED, or the outcome that a mail would have."""
