"""Whether Redis still is the Redis that we wrote to: a mark in it that nothing but its emptying removes."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ResponseError

from pipeline.storage.slots import as_cluster

MARK = "delivery:epoch"
MARKS = 16
"""In a Redis Cluster, spread over the slots: so many nodes can be told apart."""


class Epoch:
    """Reads the epoch, and begins one where there is none. `new_id` makes a mark that nobody made before.

    The epoch changes when Redis is emptied, and also when its process starts anew: it may have come back from a
    snapshot, or as the replica that lacked the last writes.
    """

    def __init__(self, redis: Redis, new_id: Callable[[], str]) -> None:
        self._redis = redis
        self._new_id = new_id
        self._everywhere = {} if as_cluster(redis) is None else {"target_nodes": RedisCluster.PRIMARIES}
        self._keys = [MARK] if as_cluster(redis) is None else _spread_keys()

    async def read(self) -> str:
        """The present epoch, 16 characters.

        Raises:
            One of `REDIS_AWAY`.
        """
        marks = await asyncio.gather(self._runs(), *(self._mark(key) for key in self._keys))
        return hashlib.blake2b("\0".join(marks).encode(), digest_size=8).hexdigest()

    async def _mark(self, key: str) -> str:
        while (mark := await self._redis.get(key)) is None:
            await self._redis.set(key, self._new_id(), nx=True)
        return mark.decode() if isinstance(mark, bytes) else mark

    async def _runs(self) -> str:
        """Which runs of which server processes these are."""
        try:
            answer: dict[str, Any] = await self._redis.info("server", **self._everywhere)
        except ResponseError:  # not every account may ask that; the marks alone tell of an emptying
            return ""
        servers = [answer] if "run_id" in answer else list(answer.values())
        return ",".join(sorted(str(server.get("run_id", "")) for server in servers))


def _spread_keys() -> list[str]:
    """One key in each of `MARKS` equal ranges of slots."""
    width, found, number = REDIS_CLUSTER_HASH_SLOTS // MARKS, dict[int, str](), 0
    while len(found) < MARKS:
        key = f"{MARK}:{{{number}}}"
        found.setdefault(key_slot(key.encode()) // width, key)
        number += 1
    return [found[part] for part in range(MARKS)]
