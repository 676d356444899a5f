"""Real delivery engines on simulated servers, in virtual time: everything random is drawn from one seeded generator.

What is real: engine, intake, lanes, tracker, commits, courier, ledger, keeper, reporter. What is simulated: the consumer
group and its topic, Redis (`LedgerModel`), the producer, the provider; each takes random time and may fail.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.models.node import Node
from tests.models.virtual_time import VirtualLoop
from tests.models.world import World


class Storm:
    """Traffic, and faults at random; then quiet, and the verdict."""

    SECONDS = 25.0
    SETTLE = 300.0

    def __init__(self, world: World) -> None:
        self.world = world
        self._faults: list[Callable[[], Any]] = [self._kill, self._kill, self._leave, self._freeze, self._redis_away]
        if world.forgetful:
            self._faults += [self._redis_emptied, self._redis_emptied_and_a_worker_killed]

    async def run(self) -> None:
        world = self.world
        world.nodes += [Node(world), Node(world)]
        await world.rebalance()
        traffic = asyncio.ensure_future(self._traffic())
        while world.loop.time() < self.SECONDS:
            await world.delay(3)
            await world.rnd.choice(self._faults)()
        await traffic
        deadline = world.loop.time() + self.SETTLE
        while not world.quiet:
            assert world.loop.time() < deadline, f"never quiet: {world.committed}, {list(map(len, world.log))}"
            for node in world.nodes:
                if node.task.done():
                    node.task.result()
            await asyncio.sleep(0.5)
        world.judge()

    async def _traffic(self) -> None:
        while self.world.loop.time() < self.SECONDS:
            for _ in range(self.world.rnd.randint(0, 4)):
                self.world.produce()
            await self.world.delay(0.5)

    async def _kill(self) -> None:
        self._one().kill()
        await self.world.delay(2)
        await self._replace()

    async def _leave(self) -> None:
        await self._one().leave()
        await self._replace()

    async def _replace(self) -> None:
        self.world.nodes.append(Node(self.world))
        await self.world.rebalance()

    async def _freeze(self) -> None:
        with suppress(ValueError):
            await self._one().freeze(self.world.rnd.uniform(0.5, 10))

    async def _redis_away(self) -> None:
        self.world.redis_away = True
        await self.world.delay(4)
        self.world.redis_away = False

    async def _redis_emptied(self) -> None:
        self.world.empty_redis()

    async def _redis_emptied_and_a_worker_killed(self) -> None:
        self.world.empty_redis()
        await self._kill()

    def _one(self) -> Node:
        return self.world.rnd.choice(self.world.nodes)


def simulate(seed: int, *, forgetful: bool) -> World:
    """One storm. Raises AssertionError where anything that must hold does not."""
    random.seed(seed)  # what waits for servers draws its jitter there
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_storm(seed, loop, forgetful))
    finally:
        loop.run_until_complete(_end_all())
        loop.close()


async def _end_all() -> None:
    """What a process that was killed has left behind waits for ever."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def _storm(seed: int, loop: VirtualLoop, forgetful: bool) -> World:
    world = World(seed, loop, forgetful=forgetful)
    await Storm(world).run()
    return world
