"""The PostgreSQL pool, and which of its errors mean that the server is away."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg

from pipeline.config import PostgresSettings
from pipeline.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Pool = asyncpg.Pool
    Connection = asyncpg.Connection

COMMAND_TIMEOUT = 10.0
CONNECT_TIMEOUT = 5.0

POSTGRES_AWAY: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
"""Cannot be reached, starting, stopping, or full: waiting helps."""

BROKEN_OFF = ("closed", "another operation is in progress")
"""What the driver says of a connection that was lost between two calls, or within one; it has no class for that."""

_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


async def open_pool(settings: PostgresSettings) -> Pool:
    """A pool that connects when it is first used, so that a service may start before PostgreSQL does.

    ``jsonb`` and ``json`` travel as text. A query may take `COMMAND_TIMEOUT` seconds.
    """
    return await asyncpg.create_pool(
        settings.dsn.get_secret_value(),
        min_size=0,
        max_size=settings.pool_size,
        timeout=CONNECT_TIMEOUT,
        command_timeout=COMMAND_TIMEOUT,
        server_settings={"application_name": "notifications"},
    )


@contextmanager
def reachable() -> Iterator[None]:
    """Translates what the driver raises.

    Raises:
        Unavailable: one of `POSTGRES_AWAY`.
        ConfigurationError: the server refuses the user, the password or the database's name, or it has no tables yet.
    """
    try:
        yield
    except POSTGRES_AWAY as error:
        raise Unavailable(f"PostgreSQL cannot be reached: {type(error).__name__}") from error
    except asyncpg.InterfaceError as error:
        if not any(sign in str(error) for sign in BROKEN_OFF):
            raise
        raise Unavailable("PostgreSQL closed the connection") from error
    except asyncpg.InternalClientError as error:  # a server that stops in the middle of an answer confuses the driver
        raise Unavailable("PostgreSQL broke off in the middle of an answer") from error
    except asyncpg.UndefinedTableError as error:
        raise ConfigurationError(f"{error}: run `pipeline migrate` first") from error
    except _REFUSED as error:
        raise ConfigurationError(f"PostgreSQL refuses PIPELINE_POSTGRES__DSN: {error}") from error
