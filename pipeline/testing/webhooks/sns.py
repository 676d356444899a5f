"""What Amazon SES publishes through SNS: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html"""

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pipeline.testing.receipts import Receipt, ReceiptKind
from pipeline.testing.webhooks.signed import Clock, Signed, now

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"
CERTIFICATE_PATH = "/SimpleNotificationService-0123456789abcdef.pem"
PIECE = 256

_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


class SnsSigner:
    """Signs with a certificate of its own, which a receiver finds at `base_url`."""

    name = "ses"

    def __init__(self, base_url: str = "", clock: Clock = now, *, version: Literal["1", "2"] = "2") -> None:
        """`version` 1 signs with SHA-1, 2 with SHA-256."""
        self.base_url = base_url
        self.version = version
        self._clock = clock
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.certificate = self._certify().public_bytes(Encoding.PEM)

    def receipt(self, receipt: Receipt, url: str) -> Signed:
        """A notification of an event. See `Signer.receipt`."""
        return self.notification(url, json.dumps(self.event(receipt)))

    def event(self, receipt: Receipt) -> dict[str, object]:
        """An event as a configuration set publishes it."""
        at = self._time()
        name, details = _details(receipt, at)
        pieces = [receipt.reference[i : i + PIECE] for i in range(0, len(receipt.reference), PIECE)]
        references = {f"notification_ref-{number}": [piece] for number, piece in enumerate(pieces, start=1)}
        mail = {
            "timestamp": at,
            "messageId": receipt.message_id,
            "source": "notify@mail.example.com",
            "destination": [receipt.recipient],
            "headersTruncated": False,
            "headers": [{"name": "X-Notification-ID", "value": receipt.notification_id}],
            "tags": {"ses:operation": ["SendEmail"], "notification_id": [receipt.notification_id], **references},
        }
        return {"eventType": name, "mail": mail, name.lower(): details}

    def notification(self, url: str, message: str, *, topic: str = TOPIC, subject: str = "") -> Signed:
        more = {"Subject": subject} if subject else {}
        return self._sign(url, {"Type": "Notification", "Message": message, "TopicArn": topic, **more}, _NOTIFICATION)

    def confirmation(self, url: str, *, topic: str = TOPIC) -> Signed:
        """The question whether the endpoint wants to be subscribed."""
        fields = {
            "Type": "SubscriptionConfirmation",
            "Message": "You have chosen to subscribe to the topic.",
            "TopicArn": topic,
            "Token": "f" * 64,
            "SubscribeURL": f"{self.base_url}/?Action=ConfirmSubscription&TopicArn={topic}&Token={'f' * 64}",
        }
        return self._sign(url, fields, _CONFIRMATION)

    def _sign(self, url: str, fields: dict[str, str], signed: tuple[str, ...]) -> Signed:
        whole = {"MessageId": str(uuid.uuid4()), "Timestamp": self._time(), **fields}
        text = "".join(f"{name}\n{whole[name]}\n" for name in signed if name in whole)
        algorithm = SHA1() if self.version == "1" else SHA256()  # noqa: S303 - version 1 is SHA-1
        whole["SignatureVersion"] = self.version
        whole["Signature"] = base64.b64encode(self._key.sign(text.encode(), PKCS1v15(), algorithm)).decode()
        whole["SigningCertURL"] = self.base_url + CERTIFICATE_PATH
        headers = {"Content-Type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": whole["Type"]}
        return Signed(url, headers, json.dumps(whole).encode())

    def _time(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _certify(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        at = datetime.now(UTC)
        builder = x509.CertificateBuilder(name, name, self._key.public_key(), x509.random_serial_number())
        dated = builder.not_valid_before(at - timedelta(days=1)).not_valid_after(at + timedelta(days=30))
        return dated.sign(self._key, SHA256())


def _details(receipt: Receipt, at: str) -> tuple[str, dict[str, object]]:
    person = {"emailAddress": receipt.recipient}
    match receipt.kind:
        case ReceiptKind.DELIVERED:
            return "Delivery", {"timestamp": at, "recipients": [receipt.recipient], "smtpResponse": "250 OK"}
        case ReceiptKind.BOUNCED:
            recipients = [{**person, "action": "failed", "status": "5.1.1"}]
            return "Bounce", {
                "timestamp": at,
                "bounceType": "Permanent",
                "bounceSubType": "General",
                "bouncedRecipients": recipients,
            }
        case ReceiptKind.COMPLAINED:
            return "Complaint", {
                "timestamp": at,
                "complainedRecipients": [person],
                "complaintFeedbackType": "abuse",
            }
        case ReceiptKind.OPENED:
            return "Open", {"timestamp": at, "ipAddress": "192.0.2.1", "userAgent": "Mozilla/5.0"}
        case ReceiptKind.CLICKED:
            return "Click", {"timestamp": at, "link": "https://example.com/", "linkTags": None}
        case ReceiptKind.UNSUBSCRIBED:
            return "Subscription", {"timestamp": at, "contactList": "people", "source": "UnsubscribeHeader"}
