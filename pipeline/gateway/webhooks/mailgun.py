"""Mailgun's webhooks: one event each.

Signature: https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
Events: https://documentation.mailgun.com/docs/mailgun/user-manual/events/event-structure
"""

import hmac
from collections.abc import Sequence

import msgspec

from pipeline.events.vocabulary import Channel, Reason, Status
from pipeline.gateway.webhooks.base import (
    Ignored,
    Posted,
    Receipt,
    Suppress,
    Told,
    Unreadable,
    Untrusted,
    milliseconds,
    require_fresh,
    same,
    seconds,
)
from pipeline.providers.mailgun import NAME

FAILED = {
    "bounce": (Reason.INVALID_RECIPIENT, "bounce"),
    "suppress-bounce": (Reason.INVALID_RECIPIENT, "bounce"),
    "suppress-complaint": (Reason.ADDRESS_SUPPRESSED, "complaint"),
    "suppress-unsubscribe": (Reason.ADDRESS_SUPPRESSED, "unsubscribe"),
}
"""Why a mail failed for good, and what that says of the address; any other reason says nothing of it."""


class _Signature(msgspec.Struct, frozen=True):
    timestamp: str
    token: str
    signature: str


class _Signed(msgspec.Struct, frozen=True):
    signature: _Signature


class _Headers(msgspec.Struct, frozen=True):
    message_id: str = msgspec.field(default="", name="message-id")


class _Message(msgspec.Struct, frozen=True):
    headers: _Headers = _Headers()


class _Event(msgspec.Struct, frozen=True, rename="kebab"):
    event: str
    timestamp: float = 0
    recipient: str = ""
    severity: str = ""
    reason: str = ""
    url: str = ""
    message: _Message = _Message()
    user_variables: dict[str, object] = {}


class _Body(msgspec.Struct, frozen=True, rename="kebab"):
    event_data: _Event


_decode_signature = msgspec.json.Decoder(_Signed, strict=False).decode
_decode = msgspec.json.Decoder(_Body).decode


class MailgunWebhook:
    """`keys`: the webhook signing keys of all accounts, any of which may have signed. `max_age` in seconds.

    The signature covers no more than a time and a token: a token that comes again with another body is refused.
    """

    name = NAME
    channel = Channel.EMAIL
    refusal = 406

    def __init__(self, keys: Sequence[str], max_age: float) -> None:
        self._keys = keys
        self._max_age = max_age

    async def verify(self, posted: Posted, now: float) -> str:
        """See `Webhook.verify`."""
        try:
            stamp, token, given = msgspec.structs.astuple(_decode_signature(posted.body).signature)
        except msgspec.DecodeError:
            raise Untrusted("The body has no signature with timestamp, token and signature.") from None
        if not any(same(given, sign(stamp, token, key)) for key in self._keys):
            raise Untrusted("No webhook signing key of ours has made the signature.")
        require_fresh(seconds(stamp), now, self._max_age)
        return str(token)

    async def read(self, posted: Posted) -> Sequence[Told]:
        """See `Webhook.read`."""
        try:
            return [_told(_decode(posted.body).event_data)]
        except msgspec.DecodeError:
            raise Unreadable("The body has no event-data as Mailgun documents it.") from None


def sign(timestamp: str, token: str, key: str) -> str:
    """The signature: the HMAC-SHA256 over timestamp and token, hexadecimal."""
    return hmac.digest(key.encode(), (timestamp + token).encode(), "sha256").hex()


def _told(event: _Event) -> Told:
    match event.event:
        case "delivered":
            return _receipt(event, Status.DELIVERED)
        case "opened":
            return _receipt(event, Status.OPENED)
        case "clicked":
            return _receipt(event, Status.CLICKED, detail=event.url)
        case "failed" if event.severity != "temporary":
            reason, listed = FAILED.get(event.reason, (Reason.UNDELIVERABLE, ""))
            return _receipt(event, Status.BOUNCED, reason, listed)
        case "rejected":
            return _receipt(event, Status.BOUNCED, Reason.REJECTED_BY_PROVIDER)
        case "complained":
            return _receipt(event, Status.COMPLAINED, suppress="complaint")
        case "unsubscribed":
            return _receipt(event, Status.UNSUBSCRIBED, suppress="unsubscribe")
        case other:
            return Ignored(other)


def _receipt(
    event: _Event, status: Status, reason: Reason = Reason.REPORTED, suppress: str = "", *, detail: str = ""
) -> Receipt:
    entry = Suppress(event.recipient, suppress, whole=suppress == "bounce")
    return Receipt(
        notification_id=str(event.user_variables.get("notification_id", "")),
        reference=str(event.user_variables.get("notification_ref", "")),
        status=status,
        reason=reason,
        occurred_at=milliseconds(event.timestamp),
        message_id=event.message.headers.message_id,
        detail=detail,
        suppress=[entry] if suppress and event.recipient else [],
    )
