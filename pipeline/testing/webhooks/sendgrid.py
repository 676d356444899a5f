"""SendGrid's signed Event Webhook: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event"""

import base64
import json
import secrets
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pipeline.testing.receipts import Receipt, ReceiptKind
from pipeline.testing.webhooks.signed import JSON, Clock, Signed, now

_EVENTS: dict[ReceiptKind, dict[str, object]] = {
    ReceiptKind.DELIVERED: {"event": "delivered", "response": "250 OK"},
    ReceiptKind.BOUNCED: {"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 no such user"},
    ReceiptKind.COMPLAINED: {"event": "spamreport"},
    ReceiptKind.OPENED: {"event": "open", "sg_machine_open": False, "useragent": "Mozilla/5.0"},
    ReceiptKind.CLICKED: {"event": "click", "url": "https://example.com/", "url_offset": {"index": 0, "type": "html"}},
    ReceiptKind.UNSUBSCRIBED: {"event": "unsubscribe"},
}


class SendGridSigner:
    """Signs with a key of its own."""

    name = "sendgrid"

    def __init__(self, clock: Clock = now) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._clock = clock
        der = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public_key = base64.b64encode(der).decode()

    def receipt(self, receipt: Receipt, url: str) -> Signed:
        """A batch of one event. See `Signer.receipt`."""
        return self.events(url, [self.event(receipt)])

    def event(self, receipt: Receipt, **fields: object) -> dict[str, object]:
        """One event of a batch."""
        reference = {"notification_ref": receipt.reference} if receipt.reference else {}
        return {
            "email": receipt.recipient,
            "timestamp": int(self._clock()),
            "sg_event_id": secrets.token_urlsafe(16),
            "sg_message_id": f"{receipt.message_id}.recvd-5c7f7f5b8-abcde-1-65",
            "smtp-id": f"<{receipt.message_id}@geopod-ismtpd-1>",
            "notification_id": receipt.notification_id,
            **reference,
            **_EVENTS[receipt.kind],
            **fields,
        }

    def events(self, url: str, events: Sequence[object]) -> Signed:
        """A batch."""
        return self.sign(url, json.dumps(events).encode() + b"\r\n")

    def sign(self, url: str, body: bytes) -> Signed:
        stamp = str(int(self._clock()))
        signature = self._key.sign(stamp.encode() + body, ec.ECDSA(SHA256()))
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
            "Content-Type": JSON,
        }
        return Signed(url, headers, body)
