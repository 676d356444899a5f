"""Instances are killed in turn while notifications flow: every client ends with exactly its own."""

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio
import socketio

from pipeline.config import Settings
from pipeline.embedded.processes import Child, Command, Supervisor
from pipeline.embedded.servers import free_port
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.runtime import Runtime
from tests.integration.realtime.conftest import (
    SECRET,
    WITHIN,
    Instance,
    Servers,
    SocketClient,
    item,
    poll,
    somebody,
    stream,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIENTS = int(os.environ.get("REALTIME_CLIENTS", "18"))
EACH = int(os.environ.get("REALTIME_EACH", "30"))
KILLS = int(os.environ.get("REALTIME_KILLS", "2"))

GONE = (aiohttp.ClientError, OSError, TimeoutError, AssertionError, socketio.exceptions.ConnectionError)


@dataclass(frozen=True)
class Process:
    child: Child
    instance: Instance
    health: str

    async def ready(self) -> None:
        deadline = time.monotonic() + WITHIN
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(self.health) as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                assert time.monotonic() < deadline, self.child.log_tail()
                await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def children(settings: Settings, supervisor: Supervisor) -> Iterator[list[Process]]:
    """Two instances, each a process that comes back at its address."""
    made = []
    for number in range(2):
        port, health = free_port(), free_port()
        environment = {
            "PIPELINE_REDIS__URL": settings.redis.url,
            "PIPELINE_POSTGRES__DSN": settings.postgres.dsn.get_secret_value(),
            "PIPELINE_GATEWAY__JWT__HS256_SECRET": SECRET,
            "PIPELINE_REALTIME__PORT": str(port),
            "PIPELINE_HTTP__PORT": str(health),
        }
        argv = (sys.executable, "-m", "pipeline.cli", "realtime")
        child = supervisor.child(Command(name=f"realtime-{number}", argv=argv, environment=environment))
        child.start()
        instance = Instance(f"http://127.0.0.1:{port}", Runtime(settings, Health("test"), Metrics()))
        made.append(Process(child, instance, f"http://127.0.0.1:{health}/readyz"))
    yield made
    for process in made:
        process.child.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def processes(children: list[Process]) -> AsyncIterator[list[Process]]:
    for process in children:
        await process.ready()
    yield children


async def follow_by_stream(instances: Sequence[Instance], user: str, titles: list[str]) -> None:
    after = "0"
    while len(titles) < EACH:
        try:
            async with stream(random.choice(instances), user, after=after) as client:
                while len(titles) < EACH:
                    (title,) = await client.titles(1)
                    titles.append(title)
                    after = client.last_id
        except GONE:
            await asyncio.sleep(random.uniform(0.01, 0.1))


async def follow_by_poll(instances: Sequence[Instance], user: str, titles: list[str]) -> None:
    after = "0"
    while len(titles) < EACH:
        try:
            answer = await poll(random.choice(instances), user, after=after)
        except GONE:
            await asyncio.sleep(random.uniform(0.01, 0.1))
            continue
        titles += [data["title"] for data in answer["notifications"]]
        after = answer["cursor"]


async def follow_by_socket(instances: Sequence[Instance], user: str, titles: list[str]) -> None:
    after = "0"
    while len(titles) < EACH:
        client = SocketClient(user)
        try:
            await client.connect(random.choice(instances), after=after)
            left = EACH - len(titles)
            await until(lambda c=client, n=left: c.gone or len(c.titles) >= n)
        except GONE:
            await asyncio.sleep(random.uniform(0.01, 0.1))
        await client.close()
        titles += client.titles
        after = client.got()[-1]["cursor"] if client.got() else after


async def deliver(servers: Servers, users: Sequence[str], progress: list[int]) -> None:
    """Everybody's notifications, each user's in order, different users' at once."""
    for number in range(EACH):
        for start in range(0, len(users), 50):
            await servers.deliver(*(item(user, number) for user in users[start : start + 50]))
        progress.append(number)
        await asyncio.sleep(0.02)


async def kill_in_turn(processes: Sequence[Process], progress: list[int]) -> None:
    """The next one when so much more was delivered; at the end both are there."""
    for number in range(KILLS):
        await until(lambda enough=(number + 1) * EACH // (KILLS + 1): len(progress) >= enough)
        process = processes[number % 2]
        await asyncio.to_thread(process.child.kill)
        process.child.start()
        await process.ready()


async def test_every_client_ends_with_exactly_its_own(servers: Servers, processes: list[Process]) -> None:
    instances = [process.instance for process in processes]
    ways = (follow_by_stream, follow_by_socket, follow_by_poll)
    users = [somebody() for _ in range(CLIENTS)]
    got: list[list[str]] = [[] for _ in users]
    progress: list[int] = []
    async with asyncio.timeout(3 * WITHIN), asyncio.TaskGroup() as tasks:
        for number, user in enumerate(users):
            tasks.create_task(ways[number % len(ways)](instances, user, got[number]))
        tasks.create_task(deliver(servers, users, progress))
        tasks.create_task(kill_in_turn(processes, progress))
    assert got == [[str(number) for number in range(EACH)]] * CLIENTS
    client = await SocketClient(somebody()).connect(instances[0])
    assert [await asyncio.to_thread(process.child.stop) for process in processes] == [0, 0]
    await client.close()
