"""The one subscription of an instance to the Redis channel that all instances hear.

Plain pub/sub, also on a cluster, whose nodes pass it on to each other: what is published by `PUBLISH`, as anybody may, a
sharded subscription would not hear (docs/decisions/0111).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from pipeline.kafka.names import IN_APP_CHANNEL
from pipeline.observability.health import Health
from pipeline.storage.redis import REDIS_AWAY

logger = logging.getLogger(__name__)

_LOST: tuple[type[Exception], ...] = (*REDIS_AWAY, AttributeError, RuntimeError)
"""The library's cluster client closes connections under those who listen, and what they raise then is none of its errors."""

QUIET = 5.0
"""Seconds of silence after which the connection is tried."""

PATIENCE = 0.1, 2.0
"""Shortest and longest wait, in seconds, until the subscription is tried again."""

TURN = 200
"""Messages after which others have their turn."""


class Subscription:
    """Hands every message to `hear`. `suspect` is called whenever messages may have been missed before."""

    def __init__(
        self, redis: Redis, hear: Callable[[bytes], None], suspect: Callable[[], None], health: Health
    ) -> None:
        self._redis = redis
        self._hear = hear
        self._suspect = suspect
        self._health = health
        self._delay = PATIENCE[0]
        health.set("subscription", ok=False, detail="not there yet")

    async def run(self) -> None:
        """Until cancelled. The subscription is renewed for as long as it takes."""
        while True:
            pubsub: Any = None
            try:
                await self._redis.ping()  # a cluster's client finds its nodes
                pubsub = self._redis.pubsub()
                await pubsub.subscribe(IN_APP_CHANNEL)
                await self._listen(pubsub)
            except _LOST as error:
                self._health.set("subscription", ok=False, detail=f"lost: {type(error).__name__}")
                logger.warning("the subscription to %s is lost: %s", IN_APP_CHANNEL, type(error).__name__)
            finally:
                if pubsub is not None:
                    await _close(pubsub)
            await asyncio.sleep(self._delay)
            self._delay = min(2 * self._delay, PATIENCE[1])

    async def _listen(self, pubsub: Any) -> None:
        """Raises one of `REDIS_AWAY` when the connection is lost, or says nothing at all."""
        heard = asked = 0
        while True:
            message = await pubsub.get_message(timeout=QUIET)
            if message is None:
                if asked:
                    raise ConnectionError("no answer to a ping")
                asked = 1
                await pubsub.ping()
                continue
            asked = 0
            if message["type"] == "message":
                self._hear(message["data"])
                heard += 1
                if heard % TURN == 0:
                    await asyncio.sleep(0)
            elif message["type"] == "subscribe":  # also when the library has connected anew by itself
                self._subscribed()

    def _subscribed(self) -> None:
        self._health.set("subscription", ok=True)
        self._delay = PATIENCE[0]
        logger.info("subscribed to %s", IN_APP_CHANNEL)
        self._suspect()


async def _close(pubsub: Any) -> None:
    with contextlib.suppress(*_LOST):
        await pubsub.aclose()
