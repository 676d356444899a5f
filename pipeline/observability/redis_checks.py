"""Redis or Valkey: whether it keeps what it was told, and who listens."""

from collections.abc import Iterator, Mapping
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.exceptions import RedisError

from pipeline.config import RedisSettings
from pipeline.errors import PipelineError
from pipeline.kafka.names import IN_APP_CHANNEL
from pipeline.observability.clock_checks import Reading, now, skew_finding
from pipeline.observability.finding import Finding, Level
from pipeline.observability.redaction import redact
from pipeline.storage.redis import REDIS_AWAY, open_redis
from pipeline.storage.slots import as_cluster, subscribers

FULL = 0.8
"""Share of the memory limit from which on somebody should look: what is refused at the limit stops the line."""

NEVER_EVICTS = "noeviction"

Info = Mapping[str, object]

_NO_ANSWER: tuple[type[Exception], ...] = (RedisError, *REDIS_AWAY, PipelineError)


async def examine_redis(settings: RedisSettings) -> list[Finding]:
    """Whether it answers; on each server memory, persistence, role and clock; who listens for in-app notifications.

    Never raises for what is away.
    """
    try:
        async with open_redis(settings) as redis:
            await redis.ping()
            found = [Finding("redis", Level.OK, f"answers at {redact(settings.url)}")]
            for node, info in (await _infos(redis)).items():
                found += server_findings(info, clustered=settings.cluster, node=node)
            found += [*await _persistence(redis), *await _cluster(redis), *await _clock(redis)]
            listening = await subscribers(redis, IN_APP_CHANNEL)
    except _NO_ANSWER as error:
        detail = f"cannot reach {redact(settings.url)}: {redact(str(error))}"
        return [Finding("redis", Level.FAIL, detail, _remedy(error))]
    return [*found, subscriber_finding(listening)]


def _remedy(error: Exception) -> str:
    text = str(error).lower()
    if "cluster support disabled" in text or "cluster mode is not enabled" in text:
        return "set PIPELINE_REDIS__CLUSTER=false: it is one server"
    if "moved" in text:
        return "set PIPELINE_REDIS__CLUSTER=true: it is a node of a cluster"
    return "start it or set PIPELINE_REDIS__URL"


async def _ask(redis: Redis, *command: str, everywhere: bool = False) -> Any:
    """One server's answer, in a cluster any primary's; or all of theirs by name."""
    more: dict[str, Any] = {}
    if as_cluster(redis) is not None:
        more["target_nodes"] = RedisCluster.PRIMARIES if everywhere else RedisCluster.RANDOM
    return await redis.execute_command(*command, **more)  # type: ignore[no-untyped-call]


async def _infos(redis: Redis) -> dict[str, Info]:
    """What each server that holds keys says of itself; one server has no name."""
    answer = await _ask(redis, "INFO", everywhere=True)
    several = bool(answer) and all(isinstance(info, Mapping) for info in answer.values())
    return answer if several else {"": answer}


def server_findings(info: Info, *, clustered: bool, node: str = "") -> Iterator[Finding]:
    """What ``INFO`` tells about one server. Pure."""
    where = f" of {node}" if node else ""
    yield from _memory(info, where)
    if info.get("role") not in (None, "master"):
        remedy = "point PIPELINE_REDIS__URL at the primary"
        yield Finding(f"redis role{where}", Level.FAIL, "is a replica: it refuses writes", remedy)
    if info.get("cluster_enabled") == 1 and not clustered:
        detail = "is a node of a cluster, and is used as if it held every key"
        yield Finding(f"redis cluster{where}", Level.FAIL, detail, "set PIPELINE_REDIS__CLUSTER=true")
    if info.get("aof_last_write_status", "ok") != "ok" or info.get("rdb_last_bgsave_status", "ok") != "ok":
        yield Finding(f"redis disk{where}", Level.FAIL, "could not write to its disk", "is the disk full? see its log")


def _memory(info: Info, where: str) -> Iterator[Finding]:
    policy, limit, used = info.get("maxmemory_policy"), _number(info, "maxmemory"), _number(info, "used_memory")
    name = f"redis memory{where}"
    if policy != NEVER_EVICTS:
        detail = f"maxmemory-policy is {policy}: claims, leases and counters may be thrown away unnoticed"
        yield Finding(name, Level.FAIL, detail, f"CONFIG SET maxmemory-policy {NEVER_EVICTS}, and in its configuration")
    elif limit and used >= FULL * limit:
        detail = f"{used / limit:.0%} of {limit / 2**20:.0f} MiB in use: at the limit everything waits"
        yield Finding(name, Level.WARN, detail, "raise maxmemory; pipeline plan-capacity says how much is needed")
    else:
        yield Finding(name, Level.OK, f"{NEVER_EVICTS}, {used / 2**20:.0f} MiB in use, {_limit(limit)}")


def _limit(limit: int) -> str:
    return f"limit {limit / 2**20:.0f} MiB" if limit else "no limit"


def _number(info: Info, name: str) -> int:
    value = info.get(name, 0)
    return value if isinstance(value, int) else 0


async def _persistence(redis: Redis) -> list[Finding]:
    """Hosted servers may refuse ``CONFIG``; their operator knows."""
    try:
        answer = await _config(redis)
    except RedisError as error:
        return [Finding("redis persistence", Level.OK, f"cannot be asked: {redact(str(error))}")]
    return [persistence_finding(answer)]


async def _config(redis: Redis) -> Mapping[str, str]:
    answer = await _ask(redis, "CONFIG GET", "appendonly", "save")
    return {_text(name): _text(value) for name, value in answer.items()}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def persistence_finding(config: Mapping[str, str]) -> Finding:
    """Whether a restart keeps what is claimed. Pure."""
    if config.get("appendonly") == "yes":
        return Finding("redis persistence", Level.OK, "append-only file")
    kept = "snapshots alone: a crash forgets what came since the last" if config.get("save") else "none"
    detail = f"{kept}; after a restart what was in flight is pieced together from Kafka, and takes longer"
    return Finding("redis persistence", Level.WARN, detail, "set appendonly yes")


async def _cluster(redis: Redis) -> list[Finding]:
    if as_cluster(redis) is None:
        return []
    answer = await _ask(redis, "CLUSTER INFO")
    return [cluster_finding({_text(name): _text(value) for name, value in dict(answer).items()})]


def cluster_finding(info: Mapping[str, str]) -> Finding:
    """Whether every slot is served. Pure."""
    state, slots = info.get("cluster_state", "unknown"), int(info.get("cluster_slots_ok", 0))
    if state == "ok" and slots == SLOTS:
        return Finding("redis cluster", Level.OK, f"all {SLOTS} slots are served, {info.get('cluster_size')} primaries")
    detail = f"state {state}, {slots} of {SLOTS} slots are served: users in the others wait"
    return Finding("redis cluster", Level.FAIL, detail, "redis-cli --cluster check, then --cluster fix")


async def _clock(redis: Redis) -> list[Finding]:
    before = now()
    seconds, micros = await _ask(redis, "TIME")
    return [skew_finding("redis", Reading(int(seconds) + int(micros) / 1e6, before, now()))]


def subscriber_finding(count: int) -> Finding:
    """How many instances pass on in-app notifications. Pure."""
    name, detail = "in-app subscribers", f"{count} on {IN_APP_CHANNEL}"
    if count:
        return Finding(name, Level.OK, detail)
    remedy = "start `pipeline realtime`, or have one subscribe; until then they wait in the inbox"
    return Finding(name, Level.WARN, f"{detail}: nobody shows in-app notifications at once", remedy)
