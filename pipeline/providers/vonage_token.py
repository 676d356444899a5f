"""The JWT by which an application speaks to Vonage: signed with RS256, from a key that may be exchanged."""

import logging
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline.errors import ConfigurationError
from pipeline.providers.watched_file import WatchedFile

logger = logging.getLogger(__name__)

LIFETIME = 15 * 60.0
"""Seconds that a token is good for: what Vonage assumes where it names no end.
https://developer.vonage.com/en/getting-started/concepts/authentication#json-web-tokens
"""
USED_FOR = 10 * 60.0
"""Seconds after which the next one is signed: a signature costs a millisecond."""
LOOK_EVERY = 10.0
"""Seconds between two looks at the key's file."""


class ApplicationToken:
    """Gives the ``Authorization`` header of one application."""

    def __init__(self, path: Path, application_id: str, *, clock: Callable[[], float] = time.time) -> None:
        """Read the key.

        Raises:
            ConfigurationError: it cannot be read, or is no RSA key.
        """
        self._application_id = application_id
        self._clock = clock
        self._file = WatchedFile(path)
        self._file.changed()
        self._key = read_key(path)
        self._looked_at = clock()
        self._header = ""
        self._signed_at = 0.0

    def header(self) -> str:
        """``Bearer …``, of a token that is fresh enough."""
        now = self._clock()
        if now - self._looked_at >= LOOK_EVERY:
            self._look(now)
        if not self._header or now - self._signed_at >= USED_FOR:
            self._sign(now)
        return self._header

    def _look(self, now: float) -> None:
        self._looked_at = now
        if not self._file.changed():
            return
        try:
            self._key, self._header = read_key(self._file.path), ""
        except ConfigurationError as error:  # half written, perhaps: the old key may still do
            logger.warning("the old Vonage key stays in use: %s", error)
            self._file.forget()

    def _sign(self, now: float) -> None:
        claims = {
            "application_id": self._application_id,
            "iat": int(now),
            "exp": int(now + LIFETIME),
            "jti": str(uuid.uuid4()),
        }
        self._header, self._signed_at = f"Bearer {jwt.encode(claims, self._key, algorithm='RS256')}", now


def read_key(path: Path) -> rsa.RSAPrivateKey:
    """The private key in `path`.

    Raises:
        ConfigurationError: it cannot be read, or is no RSA key.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"providers.vonage.private_key: {path} is no private key in PEM ({type(error).__name__}); generate one for "
            "the application in the Vonage dashboard"
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ConfigurationError(f"providers.vonage.private_key: {path} is no RSA key; RS256 needs one")
    return key
