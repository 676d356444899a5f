"""The clients that web pages use: npm's socket.io-client and eventsource."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import platformdirs
import pytest
import pytest_asyncio

from pipeline.embedded.servers import free_port
from pipeline.realtime.reads import ReadBroadcast
from tests.conftest import IN_CI
from tests.integration.realtime.conftest import Servers, item, somebody, token, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PACKAGES = ("socket.io-client@4.8.1", "eventsource@3.0.7")
SCRIPT = Path(__file__).with_name("clients.mjs")


@pytest.fixture(scope="module")
def packages() -> Path:
    """The packages, installed once into the user's cache."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("socket.io-client and eventsource need node and npm, and they are not here")
    folder = platformdirs.user_cache_path("notification-pipeline") / "-".join(("realtime", *PACKAGES))
    if not (folder / "node_modules" / "eventsource").exists():
        install = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), *PACKAGES]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            (pytest.fail if IN_CI else pytest.skip)(f"npm cannot install {PACKAGES}: {done.stderr[-300:]}")
    return folder


class Page:
    """Both clients of one user; `seen` is what they said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.seen: list[tuple[str, str, Any]] = []

    async def read(self) -> None:
        assert self.process.stdout
        async for line in self.process.stdout:
            said = json.loads(line)
            self.seen.append((said["client"], said["event"], said["data"]))

    def of(self, client: str, event: str) -> list[Any]:
        return [data for who, what, data in self.seen if (who, what) == (client, event)]

    def titles(self, client: str) -> list[str]:
        return [data["title"] for data in self.of(client, "notification")]


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(packages: Path) -> AsyncIterator[Any]:
    async with asyncio.TaskGroup() as tasks:
        pages: list[Page] = []

        async def open_(url: str, user: str) -> Page:
            process = await asyncio.create_subprocess_exec(
                "node", str(SCRIPT), str(packages), url, token(user),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            pages.append(Page(process))
            tasks.create_task(pages[-1].read())
            return pages[-1]

        yield open_
        for page in pages:
            assert page.process.stdin
            page.process.stdin.close()
            await page.process.wait()


BOTH = ("socket.io", "eventsource")


async def test_they_get_everything_and_come_back_by_themselves_when_the_instance_is_replaced(
    servers: Servers, open_page: Any
) -> None:
    user, port = somebody(), free_port()
    async with servers.instance(port=port) as instance:
        page: Page = await open_page(instance.url, user)
        await until(lambda: all(page.of(client, "ready") for client in BOTH))
        await servers.deliver(item(user, 1))
        await servers.publish(user, {"title": "of no inbox"})
        await until(lambda: all(page.titles(client) == ["1", "of no inbox"] for client in BOTH))
        await until(lambda: page.of("socket.io", "upgrade"))
        assert page.of("socket.io", "upgrade") == ["websocket"]
        await ReadBroadcast(servers.redis)(user, ["a"], 0)
        await until(lambda: all(page.of(client, "read") for client in BOTH))
    await until(lambda: page.of("socket.io", "disconnect"))
    assert page.of("socket.io", "disconnect") == ["transport close"]
    await servers.deliver(item(user, 2), item(user, 3))
    async with servers.instance(port=port):
        await servers.deliver(item(user, 4))
        for client in BOTH:
            await until(lambda c=client: len(page.titles(c)) >= 5, f"{client}: {page.seen}")
            assert page.titles(client) == ["1", "of no inbox", "2", "3", "4"]
