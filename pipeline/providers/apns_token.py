"""The provider token of APNs: a JWT signed with ES256, renewed before it ages out, from a key that may be exchanged."""

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jwt
from aioapns.connection import AuthorizationHeaderProvider
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.errors import ConfigurationError
from pipeline.providers.watched_file import WatchedFile

logger = logging.getLogger(__name__)

LIFETIME = 40 * 60.0
"""Seconds a token is used: APNs refuses one older than an hour, and a new one less than 20 minutes after the last.
https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
"""
NEW_FOR = 60.0
"""Seconds for which a token cannot have expired."""
LOOK_EVERY = 10.0
"""Seconds between two looks at the key's file."""

_NAME = re.compile(r"AuthKey_([A-Z0-9]{10})\.p8")
_KEY_ID = re.compile(r"[A-Z0-9]{10}")


class SigningKey(NamedTuple):
    """`pem` is the private key; secret."""

    key_id: str
    pem: str


class ProviderToken(AuthorizationHeaderProvider):
    """Gives the ``authorization`` header. One for all connections: APNs counts new tokens, and aioapns makes one each.

    `path` is a key, or a folder of ``AuthKey_<key id>.p8``, of which the newest is used.
    """

    def __init__(self, path: Path, *, key_id: str, team_id: str, clock: Callable[[], float] = time.time) -> None:
        """Read the key.

        Raises:
            ConfigurationError: there is none, it cannot be read, or it is no P-256 key.
        """
        self._path = path
        self._key_id = key_id
        self._team_id = team_id
        self._clock = clock
        self._looked_at = clock()
        self._file = WatchedFile(self._newest())
        self._file.changed()
        self._key = read_key(self._file.path, key_id)
        self._header = ""
        self._signed_at = 0.0

    def get_header(self) -> str:
        """``bearer …``, of a token that is fresh enough."""
        now = self._clock()
        if now - self._looked_at >= LOOK_EVERY:
            self._look(now)
        if not self._header or now - self._signed_at >= LIFETIME:
            self._sign(now)
        return self._header

    def renew(self, refused: str, *, expired: bool) -> bool:
        """APNs refused `refused`: whether there is another one now.

        There is if somebody has renewed it since, if the key was exchanged, or if it had `expired`; but not if it was
        signed just now: then a clock is wrong, and more tokens mend nothing.
        """
        if refused == self._header:
            now = self._clock()
            self._look(now)
            if self._header and expired and now - self._signed_at >= NEW_FOR:
                self._sign(now)
        return self.get_header() != refused

    def _look(self, now: float) -> None:
        self._looked_at = now
        try:
            newest = self._newest()
            if newest != self._file.path:
                self._file = WatchedFile(newest)
            if self._file.changed():
                self._exchange(read_key(newest, self._key_id))
        except ConfigurationError as error:  # half written, perhaps: the old key may still do
            logger.warning("the old APNs key stays in use: %s", error)
            self._file.forget()

    def _exchange(self, key: SigningKey) -> None:
        if key != self._key:
            self._key, self._header = key, ""
            logger.info("the APNs key was exchanged", extra={"key_id": key.key_id})

    def _sign(self, now: float) -> None:
        claims = {"iss": self._team_id, "iat": int(now)}
        token = jwt.encode(claims, self._key.pem, algorithm="ES256", headers={"kid": self._key.key_id})
        self._header, self._signed_at = f"bearer {token}", now

    def _newest(self) -> Path:
        if not self._path.is_dir():
            return self._path
        keys = [path for path in self._path.iterdir() if _NAME.fullmatch(path.name)]
        if not keys:
            raise ConfigurationError(f"providers.apns.signing_key: {self._path} holds no AuthKey_<key id>.p8")
        return max(keys, key=lambda path: (path.stat().st_mtime_ns, path.name))


def read_key(path: Path, key_id: str) -> SigningKey:
    """The key in `path`; its id is `key_id`, or else what the file's name says.

    Raises:
        ConfigurationError: it cannot be read, is no P-256 private key, or has no id.
    """
    named = _NAME.fullmatch(path.name)
    found = key_id or (named[1] if named else "")
    if not _KEY_ID.fullmatch(found):
        raise ConfigurationError(
            "set providers.apns.key_id to the ten characters that Apple shows beside the key, or name the file "
            "AuthKey_<key id>.p8"
        )
    try:
        pem = path.read_text()
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"providers.apns.signing_key: {path} is no private key in PEM ({type(error).__name__}); "
            "download the .p8 file from Apple's developer console"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigurationError(f"providers.apns.signing_key: {path} is no P-256 key; ES256 needs one")
    return SigningKey(found, pem)
