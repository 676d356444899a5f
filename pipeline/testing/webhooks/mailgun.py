"""Mailgun's webhooks: https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhooks"""

import hashlib
import hmac
import json
import secrets

from pipeline.testing.receipts import Receipt, ReceiptKind
from pipeline.testing.webhooks.signed import JSON, Clock, Signed, now

_EVENTS: dict[ReceiptKind, dict[str, object]] = {
    ReceiptKind.DELIVERED: {"event": "delivered", "delivery-status": {"code": 250, "message": "OK"}},
    ReceiptKind.BOUNCED: {
        "event": "failed",
        "severity": "permanent",
        "reason": "bounce",
        "delivery-status": {"code": 550, "message": "5.1.1 no such user"},
    },
    ReceiptKind.COMPLAINED: {"event": "complained"},
    ReceiptKind.OPENED: {"event": "opened", "ip": "192.0.2.1"},
    ReceiptKind.CLICKED: {"event": "clicked", "url": "https://example.com/"},
    ReceiptKind.UNSUBSCRIBED: {"event": "unsubscribed"},
}


class MailgunSigner:
    """Signs with a webhook signing key."""

    name = "mailgun"

    def __init__(self, clock: Clock = now) -> None:
        self.signing_key = secrets.token_hex(16)
        self._clock = clock

    def receipt(self, receipt: Receipt, url: str) -> Signed:
        """See `Signer.receipt`."""
        return self.event(url, self.event_data(receipt))

    def event_data(self, receipt: Receipt, **fields: object) -> dict[str, object]:
        """What a webhook says of the event."""
        reference = {"notification_ref": receipt.reference} if receipt.reference else {}
        return {
            "id": secrets.token_urlsafe(16),
            "timestamp": self._clock(),
            "recipient": receipt.recipient,
            "message": {"headers": {"message-id": receipt.message_id}},
            "user-variables": {"notification_id": receipt.notification_id, **reference},
            **_EVENTS[receipt.kind],
            **fields,
        }

    def event(self, url: str, event_data: object, token: str = "") -> Signed:
        """A webhook; `token` empty: a new one."""
        token, stamp = token or secrets.token_hex(25), str(int(self._clock()))
        digest = hmac.new(self.signing_key.encode(), (stamp + token).encode(), hashlib.sha256).hexdigest()
        body = {"signature": {"token": token, "timestamp": stamp, "signature": digest}, "event-data": event_data}
        return Signed(url, {"Content-Type": JSON}, json.dumps(body).encode())
