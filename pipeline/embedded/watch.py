"""This side of the watchdog process: tells it what there is to end, and who may still start."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from pipeline.embedded import watchdog
from pipeline.errors import Unavailable


class Watch:
    """This side of the watchdog process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog.__file__], stdin=subprocess.PIPE, start_new_session=True
        )
        self._lock = threading.Lock()
        self._admits = True

    @contextlib.contextmanager
    def admission(self, name: str) -> Iterator[None]:
        """Hold this while starting: what one thread starts, another that stops everything sees, or it never starts."""
        with self._lock:
            if not self._admits:
                raise Unavailable(f"{name} cannot start: everything is being stopped")
            yield

    def admit_no_more(self) -> None:
        with self._lock:
            self._admits = False

    def add(self, group: int, stop_signal: signal.Signals) -> None:
        self._tell(f"watch {group} {stop_signal.value}")

    def forget(self, group: int) -> None:
        self._tell(f"forget {group}")

    def remove(self, directory: Path) -> None:
        self._tell(f"remove {directory}")

    def close(self) -> None:
        """Let it do what is left to do, and wait for that."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin is None or self._process.stdin.closed:
            return
        with contextlib.suppress(BrokenPipeError):
            os.write(self._process.stdin.fileno(), os.fsencode(line + "\n"))
