"""What was taken already: a signature counts for one request alone."""

import hashlib
from enum import StrEnum

from redis.asyncio import Redis

from pipeline.gateway.webhooks.base import Untrusted

_PENDING, _DONE = b"P", b"D"


class Standing(StrEnum):
    """Whether a request is to be taken: new (or nobody has finished it), or repeated."""

    NEW = "new"
    REPEATED = "repeated"


class Replays:
    """Remembers, in Redis and for `retention` seconds, what requests proved themselves by. Raises `REDIS_AWAY`."""

    def __init__(self, redis: Redis, retention: float) -> None:
        self._redis = redis
        self._milliseconds = int(retention * 1000)

    async def meet(self, provider: str, token: str, content: bytes) -> Standing:
        """What is known of a request with this proof and content.

        Raises:
            Untrusted: another request has proved itself by the same.
        """
        key, print_ = _key(provider, token), hashlib.sha256(content).digest()
        if await self._redis.set(key, _PENDING + print_, px=self._milliseconds, nx=True):
            return Standing.NEW
        known = await self._redis.get(key)
        if not isinstance(known, bytes):  # it has just run out
            return Standing.NEW
        if known[1:] != print_:
            raise Untrusted("Another request with this signature was taken before: it is replayed.")
        return Standing.REPEATED if known.startswith(_DONE) else Standing.NEW

    async def finish(self, provider: str, token: str, content: bytes) -> None:
        """It has been taken."""
        value = _DONE + hashlib.sha256(content).digest()
        await self._redis.set(_key(provider, token), value, px=self._milliseconds)


def _key(provider: str, token: str) -> str:
    return f"webhook:{provider}:{hashlib.sha256(token.encode(errors='surrogateescape')).hexdigest()}"
