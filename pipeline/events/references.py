"""What a status record says of its notification whatever happens to it: it goes out with the message and comes back
with the provider's receipt, so that a receipt needs no look-up and may come before our own ``sent``. Pure.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from pipeline.events.records import DeliveryStatus, Dispatch
from pipeline.events.vocabulary import Channel, Priority, Reason, Status

MAX_SEALED = 2_000
"""Characters of a sealed reference: a callback's URL may have 4,000 at Twilio, a tag's value 256 at SES."""

_PURPOSE = b"notification reference, 1"


class Reference(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """The fields of `DeliveryStatus` that stay the same; of `stream` a complaint needs to know. No address."""

    notification_id: str
    event_id: str
    idempotency_key: str
    recipient_id: str
    event_type: str
    category: str
    source: str
    channel: Channel
    priority: Priority
    stream: str
    rule: str
    policy_version: str
    created_at: int
    trace_id: str = ""


class Feedback(NamedTuple):
    """What came in about a notification after it was sent. `occurred_at` in ms.

    `status` is one of `pipeline.events.vocabulary.FEEDBACK`. `detail` tells two of the same status apart: the link of
    a click. The same status and detail of a notification, however often told and by whom, is one.
    """

    status: Status
    reason: Reason
    occurred_at: int
    provider: str = ""
    provider_message_id: str = ""
    detail: str = ""


def reference_of(dispatch: Dispatch) -> Reference:
    event = dispatch.event
    return Reference(
        notification_id=dispatch.notification_id,
        event_id=event.event_id,
        idempotency_key=event.idempotency_key,
        recipient_id=event.recipient_id,
        event_type=event.event_type,
        category=dispatch.category,
        source=event.source,
        channel=dispatch.channel,
        priority=dispatch.priority,
        stream=dispatch.stream,
        rule=dispatch.rule,
        policy_version=dispatch.policy_version,
        created_at=event.created_at,
        trace_id=dispatch.trace_id,
    )


def feedback_status(reference: Reference, feedback: Feedback) -> DeliveryStatus:
    """The status record; the same both give the same record, byte for byte."""
    return DeliveryStatus(
        notification_id=reference.notification_id,
        event_id=reference.event_id,
        idempotency_key=reference.idempotency_key,
        recipient_id=reference.recipient_id,
        event_type=reference.event_type,
        category=reference.category,
        source=reference.source,
        channel=reference.channel,
        priority=reference.priority,
        status=feedback.status,
        reason=feedback.reason,
        rule=reference.rule,
        policy_version=reference.policy_version,
        provider=feedback.provider,
        provider_message_id=feedback.provider_message_id,
        attempt=0,
        in_doubt=False,
        occurred_at=feedback.occurred_at,
        created_at=reference.created_at,
        trace_id=reference.trace_id,
    )


class Seal:
    """Encrypts references so that they can be neither read nor changed on the way: AES-SIV (RFC 5297), URL-safe.

    It draws no randomness: the same notification prepared twice makes the same request. The first secret seals, all
    of them open, so that a secret can be changed while references are on their way.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._ciphers = [AESSIV(hashlib.sha512(_PURPOSE + b"\0" + secret).digest()) for secret in secrets]
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Reference).decode

    def close(self, reference: Reference) -> str:
        """The sealed reference; empty where it would be longer than `MAX_SEALED` (ids of hundreds of characters)."""
        sealed = self._ciphers[0].encrypt(self._encode(reference), None)
        text = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
        return text if len(text) <= MAX_SEALED else ""

    def open(self, text: str) -> Reference | None:
        """What was sealed; None: it is none of ours, or was changed."""
        if not text or len(text) > MAX_SEALED:
            return None
        try:
            sealed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            return None
        return next((found for cipher in self._ciphers if (found := self._opened(cipher, sealed))), None)

    def _opened(self, cipher: AESSIV, sealed: bytes) -> Reference | None:
        try:
            return self._decode(cipher.decrypt(sealed, None))
        except (InvalidTag, ValueError, msgspec.DecodeError):
            return None
