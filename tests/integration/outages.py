"""Ways in which a server can be away, each undone afterwards."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from enum import StrEnum

import psutil
import pytest

from pipeline.embedded.servers import Restartable, Server


class Outage(StrEnum):
    """`HANGING`: it accepts connections and answers nothing (SIGSTOP)."""

    STOPPED = "stopped"
    KILLED = "killed"
    HANGING = "hanging"


@contextmanager
def gone(server: Restartable | None, how: Outage) -> Iterator[None]:
    """The server is away within the block."""
    if not isinstance(server, Server):
        pytest.skip("this server is not ours to stop")
    _take_away(server, how)
    try:
        yield
    finally:
        _bring_back(server, how)


@asynccontextmanager
async def away(server: Restartable | None, how: Outage) -> AsyncIterator[None]:
    """`gone`, without holding up the event loop."""
    if not isinstance(server, Server):
        pytest.skip("this server is not ours to stop")
    await asyncio.to_thread(_take_away, server, how)
    try:
        yield
    finally:
        await asyncio.to_thread(_bring_back, server, how)


def _take_away(server: Server, how: Outage) -> None:
    match how:
        case Outage.STOPPED:
            server.stop()
        case Outage.KILLED:
            server.kill()
        case Outage.HANGING:
            for process in _processes(server):
                process.suspend()


def _bring_back(server: Server, how: Outage) -> None:
    if how is Outage.HANGING:
        for process in _processes(server):
            process.resume()
    else:
        server.start()


def _processes(server: Server) -> list[psutil.Process]:
    """PostgreSQL serves each connection by a process of its own, which signals to its group do not reach."""
    process = psutil.Process(server.child.pid)
    return [process, *process.children(recursive=True)]
