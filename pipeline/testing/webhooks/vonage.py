"""Vonage's signed webhooks: the SMS API's, signed in a parameter, and the Messages API's, signed by a JWT.

https://developer.vonage.com/en/getting-started/concepts/signing-messages,
https://developer.vonage.com/en/getting-started/concepts/webhooks
"""

import hashlib
import hmac
import json
import secrets
import uuid
from datetime import UTC, datetime
from urllib.parse import urlencode

import jwt

from pipeline.testing.receipts import Receipt, ReceiptKind
from pipeline.testing.webhooks.signed import FORM, JSON, Clock, Signed, now

_STATUS = {ReceiptKind.DELIVERED: ("delivered", "0"), ReceiptKind.BOUNCED: ("failed", "9")}


class VonageSigner:
    """Signs with an account's signature secret; `method`: ``md5hash``, or the hash of an HMAC."""

    name = "vonage"

    def __init__(self, method: str = "sha256", clock: Clock = now) -> None:
        self.secret = secrets.token_hex(25)
        self.method = method
        self._clock = clock

    def receipt(self, receipt: Receipt, url: str) -> Signed:
        """A delivery receipt of the SMS API. See `Signer.receipt`.

        Raises:
            KeyError: no SMS is told of in that way.
        """
        status, code = _STATUS[receipt.kind]
        fields = {
            "msisdn": receipt.recipient.lstrip("+"),
            "to": "15005550007",
            "network-code": "23410",
            "messageId": receipt.message_id,
            "price": "0.04120000",
            "status": status,
            "err-code": code,
            "client-ref": receipt.notification_id,
        }
        return self.sms(receipt.callback or url, fields)

    def inbound(self, url: str, sender: str, text: str, *, as_form: bool = False) -> Signed:
        """An SMS that somebody wrote to the account's number, by the SMS API."""
        fields = {
            "msisdn": sender.lstrip("+"),
            "to": "15005550007",
            "messageId": secrets.token_hex(8),
            "text": text,
            "type": "text",
            "keyword": text.partition(" ")[0].upper(),
        }
        return self.sms(url, fields, as_form=as_form)

    def sms(self, url: str, fields: dict[str, str], *, as_form: bool = False) -> Signed:
        """A webhook of the SMS API."""
        at = self._clock()
        said = {"message-timestamp": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")}
        whole = {**said, **fields, "timestamp": str(int(at)), "nonce": str(uuid.uuid4())}
        whole["sig"] = self._signature(whole)
        body = urlencode(whole) if as_form else json.dumps(whole)
        return Signed(url, {"Content-Type": FORM if as_form else JSON}, body.encode())

    def message(self, url: str, body: dict[str, object]) -> Signed:
        """A webhook of the Messages API: a status, or an inbound message."""
        raw = json.dumps(body).encode()
        claims = {
            "iat": int(self._clock()),
            "jti": str(uuid.uuid4()),
            "iss": "Vonage",
            "payload_hash": hashlib.sha256(raw).hexdigest(),
            "api_key": "abcd1234",
        }
        return Signed(
            url,
            {"Authorization": f"Bearer {jwt.encode(claims, self.secret, 'HS256')}", "Content-Type": JSON},
            raw,
        )

    def _signature(self, fields: dict[str, str]) -> str:
        text = "".join(f"&{k}={v.translate({38: '_', 61: '_'})}" for k, v in sorted(fields.items()))
        if self.method == "md5hash":
            return hashlib.md5((text + self.secret).encode(), usedforsecurity=False).hexdigest().upper()
        return hmac.new(self.secret.encode(), text.encode(), self.method).hexdigest().upper()
