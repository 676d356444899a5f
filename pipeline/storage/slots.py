"""Calls about many users at once, on one server or on a cluster.

One server takes all keys in one command. In a cluster a command's keys must lie in one slot, which all keys of one user
do (`pipeline.storage.keys`): there it becomes one command for each slot, sent to all nodes at once, one pipeline each.
A cluster's client has the commands of `Redis` and goes by that name (`pipeline.storage.redis.open_redis`).
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar, cast

from redis.asyncio import Redis, RedisCluster
from redis.crc import key_slot
from redis.exceptions import NoScriptError

Argument = str | int | bytes
Answer = int | bytes

T = TypeVar("T")


def as_cluster(redis: Redis) -> RedisCluster | None:
    """The client of a cluster as what it is; None for that of one server."""
    client: object = redis
    return client if isinstance(client, RedisCluster) else None


class Call(NamedTuple):
    """What a script is to do about one thing: its keys, all in one slot, and the arguments that go with them."""

    keys: tuple[str, ...]
    arguments: tuple[Argument, ...] = ()


async def get_many(redis: Redis, keys: Sequence[str]) -> list[bytes | None]:
    """The value of each key, in order; None where there is none.

    Raises:
        one of `REDIS_AWAY`: a server that holds some of them cannot be reached.
    """
    cluster = as_cluster(redis)
    if cluster is None:
        return cast("list[bytes | None]", await redis.mget(keys))  # the client answers bytes
    groups = _by_slot(keys)
    pipeline = cluster.pipeline()
    for group in groups:
        pipeline.execute_command("MGET", *(keys[i] for i in group))
    return _in_order(groups, await pipeline.execute())


async def publish(redis: Redis, channel: str, messages: Sequence[bytes]) -> None:
    """Publish all on one channel. Whichever node of a cluster takes a message passes it on to all others.

    Raises:
        one of `REDIS_AWAY`: it cannot be reached; some may have been published.
    """
    cluster = as_cluster(redis)
    pipeline = cluster.pipeline() if cluster else redis.pipeline(transaction=False)
    for message in messages:
        pipeline.execute_command("PUBLISH", channel, message)
    await pipeline.execute()


async def subscribers(redis: Redis, channel: str) -> int:
    """How many clients have subscribed to the channel, on whichever node.

    Raises:
        one of `REDIS_AWAY`: it cannot be reached.
    """
    everywhere = {} if as_cluster(redis) is None else {"target_nodes": RedisCluster.ALL_NODES}
    return sum(int(count) for _, count in await redis.pubsub_numsub(channel, **everywhere))


class SlotScript:
    """A Lua script that does the same about any number of things. It must bear being run twice.

    Its KEYS and ARGV are those of all calls one after the other; common arguments come before them.
    """

    def __init__(self, redis: Redis, text: str) -> None:
        self._cluster = as_cluster(redis)
        self._script = redis.register_script(text)

    async def ask(self, calls: Sequence[Call], common: Sequence[Argument] = ()) -> list[Answer]:
        """The answer for each call, of a script that answers a list.

        Raises:
            one of `REDIS_AWAY`: a server cannot be reached; some calls may have been made.
        """
        if self._cluster is None:
            return cast("list[Answer]", await self._script(*_joined(calls, common)))
        groups = _by_slot([call.keys[0] for call in calls])
        return _in_order(groups, await self._run(self._cluster, groups, calls, common))

    async def tell(self, calls: Sequence[Call], common: Sequence[Argument] = ()) -> None:
        """Make all calls; the script's answer is of no interest. Raises as `ask`."""
        if self._cluster is None:
            await self._script(*_joined(calls, common))
        else:
            await self._run(self._cluster, _by_slot([call.keys[0] for call in calls]), calls, common)

    async def _run(
        self, cluster: RedisCluster, groups: list[list[int]], calls: Sequence[Call], common: Sequence[Argument]
    ) -> list[list[Answer]]:
        try:
            return await self._evaluate(cluster, groups, calls, common)
        except NoScriptError:  # a node that is new or was restarted
            await cluster.script_load(self._script.script)
            return await self._evaluate(cluster, groups, calls, common)

    async def _evaluate(
        self, cluster: RedisCluster, groups: list[list[int]], calls: Sequence[Call], common: Sequence[Argument]
    ) -> list[list[Answer]]:
        pipeline = cluster.pipeline()
        for group in groups:
            keys, arguments = _joined([calls[i] for i in group], common)
            pipeline.execute_command("EVALSHA", self._script.sha, len(keys), *keys, *arguments)
        return cast("list[list[Answer]]", await pipeline.execute())


def _joined(calls: Sequence[Call], common: Sequence[Argument]) -> tuple[list[str], list[Argument]]:
    keys: list[str] = []
    arguments: list[Argument] = [*common]
    for call in calls:
        keys += call.keys
        arguments += call.arguments
    return keys, arguments


def _by_slot(keys: Sequence[str]) -> list[list[int]]:
    """Positions of the keys, those of one slot together."""
    groups: dict[int, list[int]] = {}
    for position, key in enumerate(keys):
        groups.setdefault(key_slot(key.encode()), []).append(position)
    return list(groups.values())


def _in_order(groups: list[list[int]], answers: Sequence[Sequence[T]]) -> list[T]:
    """What was answered group by group, back in the order of the positions."""
    placed: dict[int, T] = {}
    for group, each in zip(groups, answers, strict=True):
        placed.update(zip(group, each, strict=True))
    return [placed[position] for position in range(len(placed))]
