"""Who we are to push services: VAPID (RFC 8292), one signed header for each of them, renewed before it ages out."""

import base64
import binascii
import re
import time
from collections.abc import Callable

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02

from pipeline.errors import ConfigurationError

LIFETIME = 12 * 3600
"""Seconds: half of what RFC 8292 allows."""
REFRESH_AHEAD = 3600
MAX_AUDIENCES = 1000

_SUBJECT = re.compile(r"mailto:[^@\s]+@[\w.-]+|https://[\w.-]+(?:/\S*)?")


class Vapid:
    """Signs for one key. `subject` is whom a push service may write to."""

    def __init__(self, key: str, subject: str, clock: Callable[[], float] = time.time) -> None:
        """Read the key: PEM, or 32 bytes in base64url.

        Raises:
            ConfigurationError: key or subject cannot be used.
        """
        if not _SUBJECT.fullmatch(subject):
            raise ConfigurationError("providers.webpush.subject: write mailto:you@example.com or https://example.com")
        private = read_private_key(key)
        self._signer = Vapid02(private)
        self._subject = subject
        self._clock = clock
        self._headers: dict[str, tuple[float, str]] = {}
        self.public_key = public_key(private)

    def header(self, audience: str) -> str:
        """The ``Authorization`` header for the push service at `audience` (scheme, host and port)."""
        now = self._clock()
        good_until, header = self._headers.get(audience, (0.0, ""))
        if good_until > now:
            return header
        expires_at = int(now) + LIFETIME
        claims = {"aud": audience, "exp": expires_at, "sub": self._subject}
        header = str(self._signer.sign(claims)["Authorization"])
        if len(self._headers) >= MAX_AUDIENCES:
            self._headers.clear()
        self._headers[audience] = (expires_at - REFRESH_AHEAD, header)
        return header


def read_private_key(text: str) -> ec.EllipticCurvePrivateKey:
    """A P-256 private key: PEM, or 32 bytes in base64url.

    Raises:
        ConfigurationError: it is neither.
    """
    try:
        key = _load(text)
    except (ValueError, TypeError, binascii.Error):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigurationError(
            "providers.webpush.vapid_key is no P-256 private key: give PEM, or the private key that "
            "`npx web-push generate-vapid-keys` prints"
        )
    return key


def _load(text: str) -> object:
    if "-----BEGIN" in text:
        return serialization.load_pem_private_key(text.encode(), password=None)
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return ec.derive_private_key(int.from_bytes(raw, "big"), ec.SECP256R1()) if len(raw) == 32 else None


def public_key(private: ec.EllipticCurvePrivateKey) -> str:
    """What browsers need as ``applicationServerKey``: the point, uncompressed, in base64url."""
    point = private.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return base64.urlsafe_b64encode(point).rstrip(b"=").decode()
