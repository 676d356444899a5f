"""Servers of others that tests of providers speak to, each on a free local port."""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        yield
        process.terminate()


async def listening(port: int, log: Path) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)
    raise AssertionError(await asyncio.to_thread(log.read_text))


@contextlib.asynccontextmanager
async def moto_server(log: Path) -> AsyncIterator[str]:
    """moto, which mocks AWS; its address."""
    port = free_port()
    with running([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], log):
        await listening(port, log)
        yield f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def prism_server(command: str, contract: Path, log: Path, *, errors: bool = True) -> AsyncIterator[str]:
    """Stoplight's Prism, mocking one OpenAPI contract; its address. `errors`: refuse in the contract's own words."""
    port = free_port()
    arguments = [*(["--errors"] if errors else []), "-h", "127.0.0.1", "-p", str(port), str(contract)]
    with running([command, "mock", *arguments], log):
        await listening(port, log)
        yield f"http://127.0.0.1:{port}"
