"""What a provider would report about a message later on: the seam for sending receipts back by webhook."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


class ReceiptKind(StrEnum):
    """What became of an accepted message."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"


class Receipt(NamedTuple):
    """One receipt, in no provider's words yet. `message_id` is what the provider answered when it accepted.

    `reference` and `callback`: what the request asked to get back beside the id, and where; empty: nothing, nowhere.
    """

    kind: ReceiptKind
    notification_id: str
    recipient: str
    message_id: str
    reference: str = ""
    callback: str = ""


OnReceipt = Callable[[Receipt], None]
"""Called once for each accepted message, before it is answered: a receipt may be there before the answer is."""


def nobody(receipt: Receipt) -> None:
    """Nobody asked for receipts."""
