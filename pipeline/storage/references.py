"""Where references wait for receipts that bring back nothing but a notification's id, as those about SMS do."""

from typing import Self

from redis.asyncio import Redis

from pipeline.config import Settings
from pipeline.errors import Unavailable
from pipeline.events.references import Reference, Seal
from pipeline.storage.redis import REDIS_AWAY


class ReferenceShelf:
    """References by notification id, in Redis, sealed; each for `retention` seconds from when it was last put there."""

    def __init__(self, redis: Redis, seal: Seal, retention: float) -> None:
        self._redis = redis
        self._seal = seal
        self._milliseconds = int(retention * 1000)

    @classmethod
    def of(cls, redis: Redis, settings: Settings) -> Self:
        return cls(redis, open_seal(settings), settings.receipts.retention)

    async def put(self, reference: Reference) -> None:
        """Keep it.

        Raises:
            Unavailable: Redis is away.
        """
        if sealed := self._seal.close(reference):
            try:
                await self._redis.set(_key(reference.notification_id), sealed, px=self._milliseconds)
            except REDIS_AWAY as error:
                raise Unavailable(f"Redis cannot be reached: {type(error).__name__}") from error

    async def find(self, notification_id: str) -> Reference | None:
        """The reference; None: nobody put one there lately. Raises one of `REDIS_AWAY`."""
        sealed = await self._redis.get(_key(notification_id))
        return self._seal.open(sealed.decode()) if isinstance(sealed, bytes) else None


def open_seal(settings: Settings) -> Seal:
    """The seal that workers and gateways share."""
    receipts = settings.receipts
    kept = (receipts.secret, receipts.previous_secret, settings.email.unsubscribe_secret)
    return Seal([secret.get_secret_value().encode() for secret in kept if secret.get_secret_value()] or [b""])


def _key(notification_id: str) -> str:
    return f"ref:{{{notification_id}}}"
