"""SendGrid's Event Webhook: batches of events.

Signature: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
Events: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event
"""

import base64
import binascii
from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from pipeline.errors import ConfigurationError
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
    seconds,
)
from pipeline.providers.sendgrid import NAME

SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"

DROPPED = {
    "Bounced Address": (Reason.INVALID_RECIPIENT, "bounce"),
    "Invalid": (Reason.INVALID_RECIPIENT, "bounce"),
    "Spam Reporting Address": (Reason.ADDRESS_SUPPRESSED, "complaint"),
    "Unsubscribed Address": (Reason.ADDRESS_SUPPRESSED, "unsubscribe"),
}
"""Why SendGrid dropped a mail, and what that says of the address; any other reason says nothing of it."""


class _Event(msgspec.Struct, frozen=True):
    event: str
    email: str = ""
    timestamp: float = 0
    sg_message_id: str = ""
    type: str = ""
    reason: str = ""
    url: str = ""
    sg_machine_open: bool = False
    notification_id: str = ""
    notification_ref: str = ""


_decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_event = msgspec.json.Decoder(_Event).decode


class SendGridWebhook:
    """`keys`: the verification keys of all accounts, any of which may have signed. `max_age` in seconds."""

    name = NAME
    channel = Channel.EMAIL
    refusal = 403

    def __init__(self, keys: Sequence[str], max_age: float) -> None:
        """Read the keys.

        Raises:
            ConfigurationError: one is no ECDSA P-256 public key.
        """
        self._keys = [public_key(key) for key in keys]
        self._max_age = max_age

    async def verify(self, posted: Posted, now: float) -> str:
        """See `Webhook.verify`."""
        stamp, given = posted.headers.get(TIMESTAMP, ""), posted.headers.get(SIGNATURE, "")
        if not any(is_signed(posted.body, stamp, given, key) for key in self._keys):
            raise Untrusted(f"{SIGNATURE} is missing, or no verification key of ours fits it.")
        require_fresh(seconds(stamp), now, self._max_age)
        return given

    async def read(self, posted: Posted) -> Sequence[Told]:
        """See `Webhook.read`. One event that cannot be read does not hold up the others."""
        try:
            return [_told(raw) for raw in _decode_batch(posted.body)]
        except msgspec.DecodeError:
            raise Unreadable("The body is no list of events.") from None


def public_key(text: str) -> EllipticCurvePublicKey:
    """A verification key as SendGrid shows it: base64 of DER.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        key = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ConfigurationError(
            "providers.sendgrid.webhook_public_key is not the verification key that SendGrid shows"
        )
    return key


def is_signed(body: bytes, timestamp: str, signature: str, key: EllipticCurvePublicKey) -> bool:
    """Whether `signature` (base64) is the key's over timestamp and body."""
    try:
        key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + body, ECDSA(SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _told(raw: msgspec.Raw) -> Told:
    try:
        event = _decode_event(raw)
    except msgspec.DecodeError:
        return Ignored("unreadable")
    match event.event:
        case "delivered":
            return _receipt(event, Status.DELIVERED)
        case "open":  # a mail program that opens every mail by itself says nothing of the person
            return Ignored("machine_open") if event.sg_machine_open else _receipt(event, Status.OPENED)
        case "click":
            return _receipt(event, Status.CLICKED, detail=event.url)
        case "bounce":
            if event.type == "blocked":
                return _receipt(event, Status.BOUNCED, Reason.UNDELIVERABLE)
            return _receipt(event, Status.BOUNCED, Reason.INVALID_RECIPIENT, "bounce")
        case "dropped":
            reason, listed = DROPPED.get(event.reason, (Reason.REJECTED_BY_PROVIDER, ""))
            return _receipt(event, Status.BOUNCED, reason, listed)
        case "spamreport":
            return _receipt(event, Status.COMPLAINED, suppress="complaint")
        case "unsubscribe" | "group_unsubscribe":
            return _receipt(event, Status.UNSUBSCRIBED, suppress="unsubscribe")
        case other:
            return Ignored(other)


def _receipt(
    event: _Event, status: Status, reason: Reason = Reason.REPORTED, suppress: str = "", *, detail: str = ""
) -> Receipt:
    entry = Suppress(event.email, suppress, whole=suppress == "bounce")
    return Receipt(
        notification_id=event.notification_id,
        reference=event.notification_ref,
        status=status,
        reason=reason,
        occurred_at=milliseconds(event.timestamp),
        message_id=event.sg_message_id.partition(".")[0],
        detail=detail,
        suppress=[entry] if suppress and event.email else [],
    )
