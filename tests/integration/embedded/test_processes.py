"""Children end with their parent, however it ends."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.embedded.processes import Command, Supervisor
from pipeline.errors import Unavailable

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 1; done"

PARENT = """
import json, os, signal, sys, time
from pipeline.embedded.processes import Command, Supervisor

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests in the background ignores it
manner, script = sys.argv[1:]
with Supervisor() as supervisor:
    supervisor.spawn(Command(name="child", argv=("sh", "-c", script), patience=1))
    supervisor.spawn(Command(name="family", argv=("sh", "-c", "sleep 600 & sleep 600")))
    time.sleep(0.3)
    print(json.dumps([str(supervisor.directory), *(child.pid for child in supervisor.children)]), flush=True)
    if manner == "forks" and os.fork() == 0:  # the copy holds every pipe that its parent has
        time.sleep(8)
        os._exit(0)
    if manner == "raises":
        raise RuntimeError
    time.sleep(600)
"""


@pytest.fixture
def own() -> Iterator[Supervisor]:
    with Supervisor() as supervisor:
        yield supervisor


def gone(pid: int) -> bool:
    """No process, or one that only waits to be counted."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def eventually_gone(pids: list[int], directory: Path, timeout: float = 5) -> bool:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if all(gone(pid) for pid in pids) and not directory.exists():
            return True
        time.sleep(0.05)
    return False


def with_descendants(pids: list[int]) -> list[int]:
    return [p.pid for pid in pids for p in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))]


@pytest.mark.parametrize(
    ("manner", "signum", "script"),
    [
        ("sleeps", signal.SIGKILL, STUBBORN),
        ("forks", signal.SIGKILL, "sleep 600"),
        ("sleeps", signal.SIGTERM, "sleep 600"),
        ("sleeps", signal.SIGINT, "sleep 600"),
        ("raises", None, "sleep 600"),
    ],
)
def test_a_parent_that_ends_leaves_neither_child_nor_directory(
    manner: str, signum: signal.Signals | None, script: str
) -> None:
    argv = (sys.executable, "-c", PARENT, manner, script)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        directory, *pids = json.loads(parent.stdout.readline())
        everybody = pids
        if signum:
            everybody = with_descendants(pids)
            parent.send_signal(signum)
        parent.wait(15)
        assert eventually_gone(everybody, Path(directory), timeout=7)


def test_a_stop_asks_first(own: Supervisor) -> None:
    child = own.spawn(
        Command(name="polite", argv=("sh", "-c", "trap 'echo bye; exit 3' TERM; echo ready; sleep 600 & wait"))
    )
    wait_for(child.log, "ready")
    assert child.stop() == 3
    assert "bye" in child.log_tail()


def test_a_child_that_will_not_stop_is_killed_after_its_patience(own: Supervisor) -> None:
    child = own.spawn(Command(name="stubborn", argv=("sh", "-c", STUBBORN), patience=0.2))
    wait_for(child.log, "ready")
    assert child.stop() == -signal.SIGKILL


def test_a_paused_child_still_stops(own: Supervisor) -> None:
    child = own.spawn(Command(name="paused", argv=("sleep", "600"), patience=5))
    child.signal(signal.SIGSTOP)
    assert child.stop() == -signal.SIGTERM


def test_a_kill_takes_the_grandchildren_with_it(own: Supervisor) -> None:
    child = own.spawn(Command(name="family", argv=("sh", "-c", "sleep 600 & echo ready; wait")))
    wait_for(child.log, "ready")
    family = with_descendants([child.pid])
    assert len(family) == 2
    child.kill()
    assert eventually_gone(family, Path("/nonexistent"))


def test_a_child_starts_again_and_its_log_goes_on(own: Supervisor) -> None:
    child = own.child(Command(name="again", argv=("sh", "-c", "echo $GREETING"), environment={"GREETING": "hello"}))
    for _ in range(2):
        child.start()
        assert child.wait(5) == 0
    assert child.log.read_text() == "hello\nhello\n"


def test_a_command_that_fails_shows_what_it_wrote(own: Supervisor) -> None:
    with pytest.raises(Unavailable, match="exit status 7:\nno space"):
        own.run(Command(name="fails", argv=("sh", "-c", "echo no space; exit 7")), timeout=5)


def test_a_command_that_takes_too_long_does_not_go_on(own: Supervisor) -> None:
    with pytest.raises(Unavailable, match="still runs"):
        own.run(Command(name="slow", argv=("sleep", "600")), timeout=0.2)
    assert not own.children[-1].running


def test_logs_outlive_the_supervisor_where_a_place_is_given(tmp_path: Path) -> None:
    with Supervisor(logs=tmp_path / "logs") as supervisor:
        supervisor.python("hello", "-c", "print('hello')").wait(10)
    assert (tmp_path / "logs" / "hello.log").read_text() == "hello\n"


def test_nothing_starts_once_everything_is_being_stopped() -> None:
    with Supervisor() as supervisor:
        pass
    with pytest.raises(Unavailable, match="being stopped"):
        supervisor.spawn(Command(name="late", argv=("true",)))


def test_a_child_cannot_come_back_once_everything_is_being_stopped(own: Supervisor) -> None:
    child = own.spawn(Command(name="revenant", argv=("sleep", "600")))
    own.stop()
    with pytest.raises(Unavailable, match="being stopped"):
        child.start()


def test_what_serves_others_is_stopped_after_them(tmp_path: Path) -> None:
    with Supervisor(logs=tmp_path) as supervisor:
        server = supervisor.spawn(Command(name="server", argv=("sleep", "600"), serves=True))
        last_words = f"trap 'kill -0 {server.pid} && echo it still served; exit' TERM; echo ready; sleep 600 & wait"
        client = supervisor.spawn(Command(name="client", argv=("sh", "-c", last_words)))
        wait_for(client.log, "ready")
    assert "it still served" in client.log_tail()


def wait_for(log: Path, text: str, timeout: float = 5) -> None:
    deadline = time.monotonic() + timeout
    while text not in log.read_text():
        assert time.monotonic() < deadline, f"{log} never said {text!r}"
        time.sleep(0.02)
