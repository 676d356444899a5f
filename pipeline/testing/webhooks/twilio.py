"""Twilio's status callbacks and inbound messages: https://www.twilio.com/docs/usage/security#validating-requests"""

import base64
import hashlib
import hmac
import secrets
from urllib.parse import urlencode

from pipeline.testing.receipts import Receipt, ReceiptKind
from pipeline.testing.webhooks.signed import FORM, JSON, Signed

_STATUS = {ReceiptKind.DELIVERED: "delivered", ReceiptKind.BOUNCED: "undelivered"}


class TwilioSigner:
    """Signs with an account's auth token."""

    name = "twilio"

    def __init__(self, account_sid: str = "AC" + "0" * 32, auth_token: str = "") -> None:
        self.account_sid = account_sid
        self.auth_token = auth_token or secrets.token_hex(16)

    def receipt(self, receipt: Receipt, url: str) -> Signed:
        """A status callback. See `Signer.receipt`.

        Raises:
            KeyError: no SMS is told of in that way.
        """
        fields = {"MessageStatus": _STATUS[receipt.kind], "MessageSid": receipt.message_id, "To": receipt.recipient}
        return self.status(receipt.callback or f"{url}?notification_id={receipt.notification_id}", **fields)

    def status(self, url: str, **fields: str) -> Signed:
        """A status callback; a bounce is of a number that does not exist unless `fields` say otherwise."""
        status = fields.get("MessageStatus", "delivered")
        failed = {"ErrorCode": "30005"} if status in ("failed", "undelivered") else {}
        sid = fields.get("MessageSid") or "SM" + secrets.token_hex(16)
        common = {"ApiVersion": "2010-04-01", "AccountSid": self.account_sid, "From": "+15005550006"}
        return self.form(url, {**common, **failed, "SmsStatus": status, "SmsSid": sid, "MessageSid": sid, **fields})

    def inbound(self, url: str, sender: str, text: str, **fields: str) -> Signed:
        """An SMS that somebody wrote to the account's number."""
        sid = "SM" + secrets.token_hex(16)
        message = {"From": sender, "To": "+15005550006", "Body": text, "NumMedia": "0", "SmsStatus": "received"}
        return self.form(url, {"AccountSid": self.account_sid, "SmsSid": sid, "MessageSid": sid, **message, **fields})

    def form(self, url: str, fields: dict[str, str]) -> Signed:
        text = url + "".join(name + fields[name] for name in sorted(fields))
        return Signed(url, self._headers(text, FORM), urlencode(fields).encode())

    def json(self, url: str, body: bytes) -> Signed:
        """A JSON webhook: the URL carries the hash of the body."""
        signed = f"{url}{'&' if '?' in url else '?'}bodySHA256={hashlib.sha256(body).hexdigest()}"
        return Signed(signed, self._headers(signed, JSON), body)

    def _headers(self, text: str, content_type: str) -> dict[str, str]:
        digest = hmac.new(self.auth_token.encode(), text.encode(), hashlib.sha1).digest()
        return {"X-Twilio-Signature": base64.b64encode(digest).decode(), "Content-Type": content_type}
