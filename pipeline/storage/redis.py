"""The Redis (or Valkey) client, and which of its errors mean that the server is away."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004  # the library's own name
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    TimeoutError,  # noqa: A004  # the library's own name
)

from pipeline.config import RedisSettings
from pipeline.errors import ConfigurationError
from pipeline.storage.coalescer import Coalescer
from pipeline.storage.packing import PackingConnection

__all__ = ["REDIS_AWAY", "Coalescer", "open_redis"]

CONNECT_TIMEOUT = 2.0
ANSWER_TIMEOUT = 5.0

REDIS_AWAY: tuple[type[Exception], ...] = (
    ConnectionError,
    TimeoutError,
    BusyLoadingError,
    ReadOnlyError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    OSError,
)
"""Cannot be reached, loading, failing over, or full: waiting helps."""


def open_redis(settings: RedisSettings) -> Redis:
    """A client with a connection pool; connects when it is first used. Answers are bytes.

    A broken connection is tried again twice within a third of a second, so that a restart of the server does not
    show: a command may therefore run twice, and every script must bear that.

    Raises:
        ConfigurationError: the URL cannot be read, or asks for a cluster.
    """
    if settings.cluster:
        raise ConfigurationError("redis.cluster: a Redis Cluster is not supported; name one server in redis.url")
    try:
        return Redis.from_url(
            settings.url,
            connection_class=PackingConnection,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=ANSWER_TIMEOUT,
            socket_keepalive=True,
            retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.2), retries=2),
        )
    except ValueError as error:
        raise ConfigurationError(f"redis.url: {error} (set PIPELINE_REDIS__URL)") from None
