"""Who may do what only one may do at a time: advisory locks of PostgreSQL, which end with their session."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pipeline.errors import Unavailable
from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql

StillHeld = Callable[[], Awaitable[None]]
"""Raises `Unavailable` once the lock is lost: its connection broke."""


@asynccontextmanager
async def exclusive(pool: Pool, name: str) -> AsyncIterator[StillHeld]:
    """Hold the lock `name`; ask the yielded function before each thing that needs it.

    Raises:
        Unavailable: another process holds it, or PostgreSQL is away.
    """
    with reachable():
        connection = await pool.acquire()
    try:
        with reachable():
            held = await connection.fetchval(sql("try_lock"), name)
        if not held:
            raise Unavailable(f"another command holds the lock {name!r}: wait until it is through")

        async def still_held() -> None:
            with reachable():
                await connection.execute("SELECT 1")

        yield still_held
    finally:
        with reachable():
            await pool.release(connection)
