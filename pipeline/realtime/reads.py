"""What a person reads on one client shows on the others at once."""

import logging
from collections.abc import Sequence

from redis.asyncio import Redis

from pipeline.kafka.names import IN_APP_CHANNEL
from pipeline.realtime.messages import read_event
from pipeline.storage.redis import REDIS_AWAY
from pipeline.storage.slots import publish

logger = logging.getLogger(__name__)


class ReadBroadcast:
    """The `pipeline.gateway.people.inbox.OnRead` that tells connected clients.

    While Redis is away nobody is told: it is marked all the same, and a client that comes back gets the count.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def __call__(self, user_id: str, notification_ids: Sequence[str], unread: int) -> None:
        try:
            await publish(self._redis, IN_APP_CHANNEL, [read_event(user_id, notification_ids, unread)])
        except REDIS_AWAY as error:
            logger.warning("connected clients are not told what was read: %s", type(error).__name__)
