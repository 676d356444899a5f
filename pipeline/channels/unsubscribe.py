"""Signed unsubscribe tokens: whoever holds one may opt that user out of that category on that channel, no more."""

import base64
import binascii
import hashlib
import hmac

import msgspec

from pipeline.events.vocabulary import Channel

_SIGNATURE_LENGTH = hashlib.sha256().digest_size


class Unsubscribe(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a token stands for."""

    user_id: str
    category: str
    channel: Channel


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Unsubscribe).decode


def sign(claim: Unsubscribe, secret: bytes) -> str:
    """The token for a link: URL-safe base64 of an HMAC-SHA256 and the claim. It does not expire (CAN-SPAM)."""
    payload = _encode(claim)
    return _spell(hmac.digest(secret, payload, "sha256") + payload)


def verify(token: str, secret: bytes) -> Unsubscribe | None:
    """What a token stands for; None if it is not one of ours. Compares in constant time."""
    try:
        raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    if _spell(raw) != token:  # Python reads the characters of plain base64 too
        return None
    signature, payload = raw[:_SIGNATURE_LENGTH], raw[_SIGNATURE_LENGTH:]
    if not secret or not hmac.compare_digest(signature, hmac.digest(secret, payload, "sha256")):
        return None
    try:
        return _decode(payload)
    except msgspec.DecodeError:
        return None


def _spell(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
