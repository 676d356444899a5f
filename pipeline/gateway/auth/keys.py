"""What an API key looks like, and whether one is good. Pure.

``ntf_<id>_<secret>``: the id (12 characters) finds the key and may be shown; of the secret (256 random bits) only the
SHA-256 is kept. A slow hash would protect nothing here: nobody guesses 256 bits, whatever the hash
(``docs/decisions/0050-api-keys.md``).
"""

import hashlib
import hmac
import re
from datetime import datetime
from typing import NamedTuple

from pipeline.gateway.access import Scope, Service
from pipeline.storage.api_keys import ApiKey

PREFIX = "ntf_"
ID_LENGTH = 12
SECRET_BYTES = 32

_KEY = re.compile(rf"{PREFIX}([0-9a-z]{{{ID_LENGTH}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})", re.ASCII)


class PresentedKey(NamedTuple):
    """A key that somebody shows: its id, and the hash of its secret."""

    key_id: str
    secret_hash: bytes


def format_key(key_id: str, secret: bytes) -> str:
    """The key as its owner gets it, once. `secret` has `SECRET_BYTES` random bytes."""
    return f"{PREFIX}{key_id}_{secret.hex()}"


def hash_secret(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def parse_key(text: str) -> PresentedKey | None:
    """None: it does not look like one of ours."""
    match = _KEY.fullmatch(text)
    return PresentedKey(match[1], hash_secret(bytes.fromhex(match[2]))) if match else None


def is_good(key: ApiKey, shown: PresentedKey, now: datetime) -> bool:
    """Whether the secret is the key's and the key is in force. Compares in constant time."""
    current = hmac.compare_digest(key.secret_hash, shown.secret_hash)
    previous = hmac.compare_digest(key.previous_hash or bytes(32), shown.secret_hash)
    in_grace = key.previous_until is not None and now < key.previous_until
    in_force = key.revoked_at is None and (key.expires_at is None or now < key.expires_at)
    return in_force and (current or (previous and in_grace))


def service(key: ApiKey) -> Service:
    """Whom the key lets in."""
    scopes = frozenset(Scope(scope) for scope in key.scopes)
    return Service(key.key_id, key.name, scopes, key.rate, key.burst, key.daily_quota)
