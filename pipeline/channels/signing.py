"""Signed tokens for links: URL-safe base64 of an HMAC-SHA256 and what is signed. Pure."""

import base64
import binascii
import hashlib
import hmac

_SIGNATURE_LENGTH = hashlib.sha256().digest_size


def seal(payload: bytes, secret: bytes, purpose: bytes = b"") -> str:
    """The token for `payload`. It opens with the same secret for the same purpose, and for no other."""
    return _spell(_signature(payload, secret, purpose) + payload)


def unseal(token: str, secret: bytes, purpose: bytes = b"") -> bytes | None:
    """What was signed; None if the token is not one of ours. Compares in constant time."""
    try:
        raw = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    if _spell(raw) != token:  # Python reads the characters of plain base64 too
        return None
    signature, payload = raw[:_SIGNATURE_LENGTH], raw[_SIGNATURE_LENGTH:]
    if not secret or not hmac.compare_digest(signature, _signature(payload, secret, purpose)):
        return None
    return payload


def _signature(payload: bytes, secret: bytes, purpose: bytes) -> bytes:
    """The purpose ends in a NUL, which no payload (JSON) begins with: one purpose is never taken for another."""
    return hmac.digest(secret, purpose + b"\0" + payload if purpose else payload, "sha256")


def _spell(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
