"""Child processes and scratch directories that never outlive this process.

A `Supervisor` starts children, each in a process group of its own with its output in a file, and ends them when it is
closed. A watchdog process does the same when this process ends without closing it: by a signal, a crash, `kill -9`.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from pipeline.embedded import watchdog
from pipeline.embedded.watch import Watch
from pipeline.errors import Unavailable

KILL_TIMEOUT = 5.0

WAIT_TO_BE_WATCHED = 'read -r _ && exec "$@" </dev/null'
"""A child runs nothing before the watchdog knows it: if this process dies in between, `read` fails."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run.

    Attributes:
        environment: added to this process's own.
        patience: how long a stop may take before it becomes a kill, in seconds.
        serves: other children need it to end in good order, so it is stopped after them.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    patience: float = 15.0
    serves: bool = False


class Child:
    """One command that can be started, stopped and killed any number of times. Its log grows over all of them."""

    def __init__(self, command: Command, log: Path, watch: Watch) -> None:
        self.command = command
        self.log = log
        self._watch = watch
        self._process: subprocess.Popen[bytes] | None = None
        self._buried = True

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def pid(self) -> int:
        """Process id of the last start; also the id of its process group."""
        return self._started().pid

    @property
    def running(self) -> bool:
        return self._process is not None and self.poll() is None

    def start(self) -> None:
        """Start it, unless it runs already.

        Raises:
            Unavailable: everything is being stopped.
        """
        if self.running:
            return
        with self._watch.admission(self.name):
            process = self._popen()
            self._process, self._buried = process, False
            self._watch.add(process.pid, self.command.stop_signal)
        if process.stdin:
            with contextlib.suppress(BrokenPipeError), process.stdin as gate:
                gate.write(b"watched\n")

    def _popen(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ("/bin/sh", "-c", WAIT_TO_BE_WATCHED, self.name, *self.command.argv),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.command.environment},
                user=self.command.user,
                process_group=0,
            )

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs, or when it was never started."""
        if self._process is None:
            return None
        status = self._process.poll()
        if status is not None:
            self._bury()
        return status

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit status.

        Raises:
            Unavailable: it still runs after `timeout` seconds, or was never started.
        """
        try:
            status = self._started().wait(timeout)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{self.name} still runs after {timeout:g} s; see {self.log}") from None
        self._bury()
        return status

    def stop(self) -> int:
        """Ask it to end, kill it if it has not within its patience, and return the exit status."""
        self.ask_to_stop()
        try:
            return self.wait(self.command.patience)
        except Unavailable:
            return self.kill()

    def ask_to_stop(self) -> None:
        """Send the stop signal without waiting; a paused process wakes up to see it."""
        self.signal(self.command.stop_signal)
        self.signal(signal.SIGCONT)

    def kill(self) -> int:
        """SIGKILL to it and all its descendants, also those that left its group; returns the exit status."""
        descendants = psutil.Process(self.pid).children(recursive=True) if self.running else []
        self.signal(signal.SIGKILL)
        for descendant in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                descendant.kill()
        psutil.wait_procs(descendants, KILL_TIMEOUT)
        return self.wait()

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to the process group, if it runs: SIGSTOP pauses, SIGCONT resumes."""
        if self.running:
            watchdog.send(self.pid, signum)

    def log_tail(self, lines: int = 15) -> str:
        """The last lines that it wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise Unavailable(f"{self.name} was never started")
        return self._process

    def _bury(self) -> None:
        """Whatever the process has left in its group goes with it; once, for the system may give its id to another."""
        if not self._buried:
            self._buried = True
            watchdog.send(self.pid, signal.SIGKILL)
            self._watch.forget(self.pid)


class Supervisor:
    """Owns children and one scratch directory. Use as a context manager, or call `close`.

    Args:
        logs: where each child's output goes, ``NAME.log``; None: inside the scratch directory, gone with it.
    """

    def __init__(self, logs: Path | None = None) -> None:
        self._watch = Watch()
        self.directory = Path(tempfile.mkdtemp(prefix="notification-pipeline-"))
        self._watch.remove(self.directory)
        self.directory.chmod(0o711)  # a server that runs as another user reaches its own part of it
        self._logs = logs or self.directory / "logs"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._children: list[Child] = []
        self._at_close: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def children(self) -> tuple[Child, ...]:
        return tuple(self._children)

    def child(self, command: Command) -> Child:
        """A child for `command`, not started yet."""
        child = Child(command, self._logs / f"{command.name}.log", self._watch)
        self._children.append(child)
        return child

    def spawn(self, command: Command) -> Child:
        """Start `command` and return at once."""
        child = self.child(command)
        child.start()
        return child

    def python(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Child:
        """Start ``python ARGUMENTS`` with this interpreter: ``python("router", "-m", "pipeline.cli", "router")``."""
        return self.spawn(Command(name=name, argv=(sys.executable, *arguments), environment=environment or {}))

    def run(self, command: Command, timeout: float) -> str:
        """Run `command` to its end and return what it wrote.

        Raises:
            Unavailable: it failed or took longer than `timeout` seconds; with its last lines.
        """
        child = self.spawn(command)
        try:
            status = child.wait(timeout)
        except Unavailable:
            child.kill()
            raise
        if status:
            raise Unavailable(f"{command.name} failed with exit status {status}:\n{child.log_tail()}")
        return child.log.read_text(errors="replace")

    def make_directory(self, name: str) -> Path:
        """A new directory of that name in the scratch directory."""
        path = self.directory / name
        path.mkdir(mode=0o700)
        return path

    def on_close(self, action: Callable[[], None]) -> None:
        """Have `action` done by `close`, for what is no child."""
        self._at_close.append(action)

    def stop(self) -> None:
        """Start nothing any more; stop all children at once, then those that served them; kill who outlasts patience."""
        self._watch.admit_no_more()
        for serves in (False, True):
            _stop_all([child for child in self._children if child.command.serves is serves])

    def close(self) -> None:
        """Stop all children and remove the scratch directory."""
        self.stop()
        for action in self._at_close:
            action()
        shutil.rmtree(self.directory, ignore_errors=True)
        self._watch.close()


def _stop_all(children: Sequence[Child]) -> None:
    asked = time.monotonic()
    for child in children:
        child.ask_to_stop()
    for child in children:
        if child.running:
            _outwait(child, asked + child.command.patience)


def _outwait(child: Child, deadline: float) -> None:
    try:
        child.wait(max(0.0, deadline - time.monotonic()))
    except Unavailable:
        child.kill()
