"""Public keys from a JWKS address, fetched when they are needed and kept for a while."""

import asyncio
import logging
from collections.abc import Callable

import aiohttp
import jwt
import msgspec

from pipeline.config import JwtSettings
from pipeline.errors import Unavailable

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 5.0
MAX_BYTES = 1_048_576

_ALGORITHM_OF = {("RSA", None): "RS256", ("EC", "P-256"): "ES256"}
"""By key type and curve; other keys of the set are not for us. A symmetric one would make the public set a secret."""


class Jwks:
    """The keys of one address. Keys older than the time to live, or a key id that is not known, lead to a fetch.

    Between two fetches lies the cool-down, whatever tokens come in. When a fetch fails the keys that are there stay
    good. `clock` is monotonic, in seconds.
    """

    def __init__(self, settings: JwtSettings, session: aiohttp.ClientSession, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._session = session
        self._clock = clock
        self._keys: dict[str, list[jwt.PyJWK]] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()

    async def find(self, algorithm: str, key_id: str | None) -> jwt.PyJWK | None:
        """As `pipeline.gateway.auth.tokens.PublicKeys`."""
        if self._fetched_at is None or self._clock() - self._fetched_at >= self._settings.jwks_ttl:
            await self._fetch()
        key = self._look(algorithm, key_id)
        if key is None and key_id is not None:
            await self._fetch()
            key = self._look(algorithm, key_id)
        if key is None and self._fetched_at is None:
            raise Unavailable("the public keys of end users' tokens cannot be fetched (gateway.jwt.jwks_url)")
        return key

    def _look(self, algorithm: str, key_id: str | None) -> jwt.PyJWK | None:
        keys = self._keys.get(algorithm, [])
        if key_id is None:
            return keys[0] if len(keys) == 1 else None
        return next((key for key in keys if key.key_id == key_id), None)

    async def _fetch(self) -> None:
        async with self._lock:
            if self._tried_at is not None and self._clock() - self._tried_at < self._settings.jwks_cooldown:
                return
            self._tried_at = self._clock()
            try:
                self._keys = await self._load()
            except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError, ValueError) as error:
                logger.warning("the JWKS cannot be fetched: %s", type(error).__name__)
                return
            self._fetched_at = self._clock()

    async def _load(self) -> dict[str, list[jwt.PyJWK]]:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with self._session.get(self._settings.jwks_url, timeout=timeout, raise_for_status=True) as answer:
            raw = await answer.content.read(MAX_BYTES)
        document = msgspec.json.decode(raw, type=dict[str, object])
        keys = document.get("keys")
        if not isinstance(keys, list):
            raise ValueError("a JWKS has an array `keys`")
        return _usable(keys)


def _usable(keys: list[object]) -> dict[str, list[jwt.PyJWK]]:
    found: dict[str, list[jwt.PyJWK]] = {}
    for key in keys:
        if not isinstance(key, dict) or key.get("use", "sig") != "sig":
            continue
        curve = key.get("crv") if key.get("kty") == "EC" else None
        algorithm = _ALGORITHM_OF.get((str(key.get("kty")), curve))
        if algorithm is None or key.get("alg", algorithm) != algorithm:
            continue
        try:
            found.setdefault(algorithm, []).append(jwt.PyJWK(key, algorithm))
        except jwt.PyJWTError:
            logger.warning("a key of the JWKS cannot be read and is left out")
    return found
