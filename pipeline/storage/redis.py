"""The Redis (or Valkey) client, and which of its errors mean that the server is away."""

from typing import cast

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterError,
    ConnectionError,  # noqa: A004  # the library's own name
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    TimeoutError,  # noqa: A004  # the library's own name
    TryAgainError,
)

from pipeline.config import RedisSettings
from pipeline.errors import ConfigurationError
from pipeline.storage.cluster import PatientCluster
from pipeline.storage.coalescer import Coalescer
from pipeline.storage.packing import PackingConnection

__all__ = ["REDIS_AWAY", "Coalescer", "open_redis"]

CONNECT_TIMEOUT = 2.0
RETRIES = 2

REDIS_AWAY: tuple[type[Exception], ...] = (
    ConnectionError,
    TimeoutError,
    BusyLoadingError,
    ReadOnlyError,
    ClusterError,
    RedisClusterException,
    AskError,
    TryAgainError,
    OutOfMemoryError,
    OSError,
)
"""Cannot be reached, does not answer, is loading, failing over, moving slots, or full: waiting helps."""


def open_redis(settings: RedisSettings) -> Redis:
    """A client with a connection pool; connects when it is first used. Answers are bytes.

    A broken connection is tried again twice within a third of a second, so that a restart of the server does not
    show: a command may therefore run twice, and every script must bear that. A server that hangs is given up after
    `RedisSettings.timeout`, and so is a call that finds all `RedisSettings.pool_size` connections in use for so long.

    For a cluster it is the library's `RedisCluster`, which has the commands of `Redis`, but refuses one whose keys lie in
    different slots: calls about many users go through `pipeline.storage.slots`.

    Raises:
        ConfigurationError: the URL cannot be read, or names a database of a cluster.
    """
    try:
        return cast("Redis", _open_cluster(settings)) if settings.cluster else _open_server(settings)
    except (ValueError, RedisClusterException) as error:
        raise ConfigurationError(f"redis.url: {error} (set PIPELINE_REDIS__URL)") from None


def _open_server(settings: RedisSettings) -> Redis:
    pool = BlockingConnectionPool.from_url(
        settings.url,
        max_connections=settings.pool_size,
        timeout=settings.timeout,
        connection_class=PackingConnection,
        socket_connect_timeout=min(CONNECT_TIMEOUT, settings.timeout),
        socket_timeout=settings.timeout,
        socket_keepalive=True,
        retry=_retry(),
    )
    return Redis.from_pool(pool)


def _open_cluster(settings: RedisSettings) -> RedisCluster:
    """Finds the nodes by the one that the URL names, and finds them anew when one of them fails or moves."""
    return PatientCluster.from_url(
        settings.url,
        max_connections=settings.pool_size,
        socket_connect_timeout=min(CONNECT_TIMEOUT, settings.timeout),
        socket_timeout=settings.timeout,
        socket_keepalive=True,
        retry=_retry(),
    )


def _retry() -> Retry:
    """Not after a timeout: who did not answer in time would only be asked the same again while it hangs."""
    return Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.2), retries=RETRIES, supported_errors=(ConnectionError,))
