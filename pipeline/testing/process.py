"""The simulators as a child process, for tests that are not asynchronous and for programs in any language."""

import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self

from pipeline.events.vocabulary import Channel
from pipeline.testing.behaviour import Behaviour
from pipeline.testing.control import CONTROL_VARIABLE

STOP_WITHIN = 10.0


class SimulatorProcess:
    """``python -m pipeline.testing`` on free local ports. Use as a context manager."""

    def __init__(self, *arguments: str) -> None:
        """`arguments`: see ``python -m pipeline.testing --help``."""
        self.environment: dict[str, str] = {}
        """The variables that point ``pipeline`` at the simulators."""
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start, and wait until all of them listen.

        Raises:
            RuntimeError: they did not start; they have said why on stderr.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.testing", *self._arguments], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._stop()
            raise RuntimeError("the simulators did not start")
        self.environment = json.loads(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def received(self, channel: Channel) -> dict[str, int]:
        """How often each notification was accepted on `channel`."""
        ids: dict[str, int] = self._ask("received?ids=1")[channel]["ids"]
        return ids

    def mails(self) -> list[dict[str, Any]]:
        """The latest mails that the relay accepted: ``headers``, ``text``, ``html``."""
        found: list[dict[str, Any]] = self._ask("mails")
        return found

    def behave(self, behaviour: Behaviour, channel: Channel | None = None) -> None:
        """Change how the simulators of `channel` (None: all) behave from now on."""
        faults = {str(fault): share for fault, share in behaviour.faults.items()}
        changed = {
            "delay_ms": behaviour.delay_ms,
            "delay": behaviour.delay,
            "faults": faults,
            "retry_after": behaviour.retry_after,
            "late_after": behaviour.late_after,
        }
        self._ask("behaviour", {"behaviour": changed, **({"channel": channel} if channel else {})})

    def _ask(self, what: str, change: object = None) -> Any:
        url = f"{self.environment[CONTROL_VARIABLE]}/_control/{what}"
        body = None if change is None else json.dumps(change).encode()
        with urllib.request.urlopen(url, data=body, timeout=10) as answer:  # noqa: S310 - our own http://
            return json.loads(answer.read())

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
