"""Where references wait for receipts that bring back nothing but a notification's id, as those about SMS do."""

from collections.abc import Iterable
from typing import Self

from redis.asyncio import Redis

from pipeline.config import Settings
from pipeline.errors import Unavailable
from pipeline.events.references import Reference, Seal
from pipeline.storage.redis import REDIS_AWAY
from pipeline.storage.slots import get_many


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

    async def find(self, notification_ids: Iterable[str]) -> dict[str, Reference]:
        """The references by id, of those that somebody put there lately. Raises one of `REDIS_AWAY`."""
        ids = list(dict.fromkeys(notification_ids))
        kept = await get_many(self._redis, [_key(id_) for id_ in ids]) if ids else []
        opened = {id_: self._seal.open(sealed.decode()) for id_, sealed in zip(ids, kept, strict=True) if sealed}
        return {id_: reference for id_, reference in opened.items() if reference}


def open_seal(settings: Settings) -> Seal:
    """The seal that workers and gateways share."""
    receipts = settings.receipts
    kept = (receipts.secret, receipts.previous_secret, settings.email.unsubscribe_secret)
    return Seal([secret.get_secret_value().encode() for secret in kept if secret.get_secret_value()] or [b""])


def _key(notification_id: str) -> str:
    return f"ref:{{{notification_id}}}"
