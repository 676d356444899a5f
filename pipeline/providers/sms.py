"""One SMS in terms that every provider understands: a failover chain can hand the same text to any of them."""

import re
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from pipeline.errors import ConfigurationError
from pipeline.providers.base import SendResult

_NUMBER = re.compile(r"\+?[0-9]{3,15}")
_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &_+.-]{1,11}")


class SmsMessage(NamedTuple):
    """An SMS ready to send. `to` is a number in E.164, `text` is not empty; `is_gsm`: the GSM alphabet has all of it.

    `sender` is a number (E.164 or a short code) or a name, as the account's settings have it; "": whichever the provider
    takes. `stream` is ``transactional`` or ``marketing``. Receipts go to `status_callback`, which names the notification; where a provider has no room for it, it is
    given `notification_id` alone. `ttl`: seconds for which carriers may try; None: as long as they like.
    """

    to: str
    text: str
    is_gsm: bool
    sender: str
    notification_id: str
    status_callback: str
    stream: str
    ttl: int | None = None


class SmsProvider(Protocol):
    """What the SMS channel needs of an account at a provider."""

    @property
    def name(self) -> str:
        """The provider's name: in the settings, and in the address that its receipts come to."""

    @property
    def opted_out(self) -> frozenset[str]:
        """Which of its errors say that the person has answered STOP."""

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, message: SmsMessage) -> SendResult:
        """Send one SMS. Never raises for what the network or the provider does."""

    async def check(self) -> SendResult:
        """Whether the account could send now, without sending: ACCEPTED, or the outcome that an SMS would have."""


def is_number(sender: str) -> bool:
    """Whether a sender is a number or a short code, and not a name."""
    return _NUMBER.fullmatch(sender) is not None


def check_senders(provider: str, senders: Mapping[str, str]) -> None:
    """See that each value is a number or a name, as GSM has them (3GPP TS 23.040, 9.1.2.5: eleven characters).

    Raises:
        ConfigurationError: one is neither; says where.
    """
    for where, sender in senders.items():
        if sender and not is_number(sender) and not _NAME.fullmatch(sender):
            raise ConfigurationError(
                f"providers.{provider}.{where}: {sender!r} is no sender: write a number in E.164 (+…), a short code, or a "
                f"name of up to 11 letters and digits with at least one letter"
            )


def senders_by_place(from_number: str, senders: Mapping[str, str]) -> dict[str, str]:
    """All senders of an account by where its settings have them, for messages."""
    return {"from_number": from_number} | {f"senders.{country}": sender for country, sender in senders.items()}
