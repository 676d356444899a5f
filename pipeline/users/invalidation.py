"""Keeps the cached snapshots true to the database, also when somebody changes it by plain SQL."""

import asyncio
import logging
from datetime import timedelta

import asyncpg

from pipeline.config import PostgresSettings
from pipeline.errors import Unavailable
from pipeline.observability.health import Health
from pipeline.observability.patience import until_available
from pipeline.storage.postgres import COMMAND_TIMEOUT, CONNECT_TIMEOUT, POSTGRES_AWAY
from pipeline.storage.redis import REDIS_AWAY
from pipeline.storage.scripts import sql
from pipeline.users.directory import BATCH, SNAPSHOT_TTL, UserDirectory

logger = logging.getLogger(__name__)

NOTIFICATIONS = "user_changed"
"""The PostgreSQL channel on which the triggers announce user ids."""

HEARTBEAT = 10.0
LONGEST_TRANSACTION = timedelta(hours=1)

_AWAY: tuple[type[Exception], ...] = (*POSTGRES_AWAY, asyncpg.InterfaceError, *REDIS_AWAY, Unavailable)


class InvalidationListener:
    """Buries the cached snapshots of users whose rows changed. Every router runs one; that they overlap is harmless.

    It holds no position. Whenever it connects, it first listens and then buries everybody who changed since the
    oldest snapshot that may still be cached: `ttl` seconds, and `LONGEST_TRANSACTION` more, because a change is
    dated when it is made and seen when it is committed. So a notification missed while a connection was down, or
    while no listener ran, is made up for, whatever the order of commits was.
    """

    def __init__(
        self,
        settings: PostgresSettings,
        directory: UserDirectory,
        health: Health,
        *,
        ttl: float = SNAPSHOT_TTL,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self._dsn = settings.dsn.get_secret_value()
        self._directory = directory
        self._health = health
        self._window = timedelta(seconds=ttl) + LONGEST_TRANSACTION
        self._heartbeat = heartbeat
        self._changed: set[str] = set()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled. A server that is away is waited for."""
        while True:
            connection = await until_available("invalidation", self._connect, away=_AWAY, health=self._health)
            try:
                await self._follow(connection)
            except _AWAY as error:
                logger.warning("listening for changed users broke off: %s; connecting again", type(error).__name__)
            finally:
                connection.terminate()

    async def _connect(self) -> asyncpg.Connection:
        """A connection that listens and has caught up."""
        connection = await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_TIMEOUT,
            command_timeout=COMMAND_TIMEOUT,
            server_settings={"application_name": "notifications-invalidation"},
        )
        try:
            connection.add_termination_listener(lambda _: self._wake.set())
            await connection.add_listener(NOTIFICATIONS, self._note)
            await self._catch_up(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _note(self, _connection: object, _pid: int, _channel: str, user_id: object) -> None:
        self._changed.add(str(user_id))
        self._wake.set()

    async def _catch_up(self, connection: asyncpg.Connection) -> None:
        async with connection.transaction(readonly=True):
            cursor = await connection.cursor(sql("user_versions_changed_within"), self._window)
            while rows := await cursor.fetch(BATCH):
                await self._directory.bury({row["user_id"]: row["version"] for row in rows})

    async def _follow(self, connection: asyncpg.Connection) -> None:
        while not connection.is_closed():
            try:
                await asyncio.wait_for(self._wake.wait(), self._heartbeat)
            except TimeoutError:
                await connection.execute("SELECT 1")
            self._wake.clear()
            changed, self._changed = self._changed, set()
            await self._directory.invalidate(changed)
