"""PostgreSQL: its version, its tables, whether it may be written, its clock."""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import NamedTuple

import psycopg

from pipeline.config import PostgresSettings
from pipeline.observability.clock_checks import Reading, now, skew_finding
from pipeline.observability.finding import Finding, Level
from pipeline.observability.redaction import redact
from pipeline.storage.scripts import sql

CONNECT_SECONDS = 3

OLDEST = 140_000
"""The oldest version that PostgreSQL's own project still maintained when this was written, as ``server_version_num``."""


class State(NamedTuple):
    """What the server says of itself. `room`: connections it takes in all."""

    version: int
    standby: bool
    read_only: bool
    room: int
    used: int


def examine_postgres(settings: PostgresSettings) -> list[Finding]:
    """Whether it answers, can be written, has every migration, and agrees with us on the time. Blocks."""
    dsn = settings.dsn.get_secret_value()
    try:
        with psycopg.connect(dsn, connect_timeout=CONNECT_SECONDS, autocommit=True) as connection:
            state, reading, done = _state(connection), _time(connection), _applied(connection)
    except psycopg.Error as error:
        detail = f"cannot reach {redact(dsn)}: {' '.join(redact(str(error)).split())}"
        return [Finding("postgresql", Level.FAIL, detail, "start it or set PIPELINE_POSTGRES__DSN")]
    return [
        Finding("postgresql", Level.OK, f"answers at {redact(dsn)}"),
        *state_findings(state, settings.pool_size),
        migration_finding(migrations(), done),
        skew_finding("postgresql", reading),
    ]


def _state(connection: psycopg.Connection) -> State:
    row = connection.execute(sql("server_state")).fetchone()
    assert row is not None
    return State(*row)


def _time(connection: psycopg.Connection) -> Reading:
    before = now()
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    assert row is not None
    return Reading(row[0], before, now())


def _applied(connection: psycopg.Connection) -> set[str]:
    try:
        return {str(row[0]) for row in connection.execute(sql("applied_migrations"))}
    except psycopg.errors.UndefinedTable:
        return set()


def state_findings(state: State, pool_size: int) -> Iterator[Finding]:
    """Version, role and room. Pure."""
    version = f"{state.version // 10_000}.{state.version % 10_000}"
    if state.version < OLDEST:
        remedy = f"upgrade it to {OLDEST // 10_000} or newer"
        yield Finding("postgresql version", Level.FAIL, f"{version} is not maintained any more", remedy)
    else:
        yield Finding("postgresql version", Level.OK, version)
    if state.standby or state.read_only:
        what = "is a standby" if state.standby else "is set to read-only transactions"
        remedy = "point PIPELINE_POSTGRES__DSN at the primary (target_session_attrs=read-write)"
        yield Finding("postgresql role", Level.FAIL, f"{what}: nothing can be written", remedy)
    if state.room - state.used < pool_size:
        detail = f"{state.used} of {state.room} connections are in use; a process takes up to {pool_size}"
        remedy = "raise max_connections, or lower PIPELINE_POSTGRES__POOL_SIZE"
        yield Finding("postgresql connections", Level.WARN, detail, remedy)


def migration_finding(ours: Sequence[str], done: set[str]) -> Finding:
    """Whether the tables are those of this version. Pure."""
    if missing := [name for name in ours if name not in done]:
        return Finding("migrations", Level.FAIL, f"missing: {', '.join(missing)}", "pipeline migrate")
    if newer := sorted(done - set(ours)):
        detail = f"made by a newer version: {', '.join(newer)}"
        return Finding(
            "migrations", Level.WARN, detail, "during an upgrade that is as it should be; else upgrade this one"
        )
    return Finding("migrations", Level.OK, f"all {len(done)} applied")


def migrations() -> list[str]:
    """The ids of those that this version has, in order."""
    folder = files("pipeline.storage").joinpath("migrations")
    names = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".sql") for name in names if name.endswith(".sql") and ".rollback." not in name)
