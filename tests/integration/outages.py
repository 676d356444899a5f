"""Ways in which a server can be away, each undone afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

import psutil
import pytest

from pipeline.embedded.servers import Restartable, Server


class Outage(StrEnum):
    """`HANGING`: it accepts connections and answers nothing (SIGSTOP)."""

    STOPPED = "stopped"
    KILLED = "killed"
    HANGING = "hanging"


@asynccontextmanager
async def away(server: Restartable | None, how: Outage) -> AsyncIterator[None]:
    """The server is away within the block."""
    if not isinstance(server, Server):
        pytest.skip("this server is not ours to stop")
    match how:
        case Outage.STOPPED:
            await asyncio.to_thread(server.stop)
        case Outage.KILLED:
            await asyncio.to_thread(server.kill)
        case Outage.HANGING:
            for process in _processes(server):
                process.suspend()
    try:
        yield
    finally:
        if how is Outage.HANGING:
            for process in _processes(server):
                process.resume()
        else:
            await asyncio.to_thread(server.start)


def _processes(server: Server) -> list[psutil.Process]:
    """PostgreSQL serves each connection by a process of its own, which signals to its group do not reach."""
    process = psutil.Process(server.child.pid)
    return [process, *process.children(recursive=True)]
