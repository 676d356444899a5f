"""Brings the database's schema up to date: plain SQL files in ``migrations/``, applied once each, in order."""

from importlib.resources import as_file, files

import psycopg
from yoyo import get_backend, read_migrations

from pipeline.errors import ConfigurationError, Unavailable

_LOCK = "SELECT pg_advisory_lock(hashtextextended('notifications.migrate', 0))"


def migrate(dsn: str) -> list[str]:
    """Apply what is missing and return the ids of what was applied now; blocks.

    Services that start together take turns: the lock is the session's, so that a killed one leaves none behind (a
    lock row in a table would).

    Raises:
        Unavailable: PostgreSQL cannot be reached.
        ConfigurationError: the URL is no ``postgresql://`` URL.
    """
    if not dsn.startswith(("postgresql://", "postgres://")):
        raise ConfigurationError(
            "postgres.dsn is no URL: set PIPELINE_POSTGRES__DSN to postgresql://user@host/database"
        )
    try:
        with psycopg.connect(dsn, autocommit=True) as lock:
            lock.execute(_LOCK)
            return _apply(dsn)
    except psycopg.OperationalError as error:
        raise Unavailable(f"PostgreSQL cannot be reached to migrate it: {error}") from error


def _apply(dsn: str) -> list[str]:
    url = "postgresql+psycopg://" + dsn.partition("://")[2]
    with as_file(files(__package__).joinpath("migrations")) as folder, get_backend(url) as backend:
        pending = backend.to_apply(read_migrations(str(folder)))
        backend.apply_migrations(pending)
        return [migration.id for migration in pending]
