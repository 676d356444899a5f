"""Ends process groups and removes directories once the process that owns them is gone, however it went.

A program of its own, run by file name: it reads lines from stdin and acts when its parent dies, `kill -9` included.
``watch GROUP SIGNAL`` names a process group and how to ask it to end, ``forget GROUP`` takes that back, ``remove PATH``
names a directory.
"""

import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator

GRACE = 5.0
PARENT_CHECK = 1.0


def main() -> None:
    groups: dict[int, int] = {}
    directories: list[str] = []
    for line in lines_until_orphaned():
        verb, _, rest = line.partition(" ")
        if verb == "watch":
            group, signum = rest.split()
            groups[int(group)] = int(signum)
        elif verb == "forget":
            groups.pop(int(rest), None)
        elif verb == "remove":
            directories.append(rest)
    end(groups)
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def lines_until_orphaned() -> Iterator[str]:
    """Lines of stdin, until it ends or the parent is another.

    The pipe alone is not enough: a process that the parent forked without exec holds its other end open.
    """
    parent = os.getppid()
    pending = b""
    while True:
        readable, _, _ = select.select([0], [], [], PARENT_CHECK)
        if readable:
            chunk = os.read(0, 65536)
            if not chunk:
                return
            *complete, pending = (pending + chunk).split(b"\n")
            yield from (os.fsdecode(line) for line in complete)
        elif os.getppid() != parent:
            return


def end(groups: dict[int, int]) -> None:
    """Ask every group to end, wait `GRACE` seconds at most, then kill what is left."""
    for group, signum in groups.items():
        send(group, signum)
        send(group, signal.SIGCONT)
    deadline = time.monotonic() + GRACE
    while any(send(group, 0) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.05)
    for group in groups:
        send(group, signal.SIGKILL)


def send(group: int, signum: int) -> bool:
    """Whether anybody of the group was there."""
    try:
        os.killpg(group, signum)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    if sys.stdin is not None:
        main()
