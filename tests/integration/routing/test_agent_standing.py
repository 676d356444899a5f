"""The Faust agent tells its health: let in by the group, and polling for as long as it runs."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from pipeline.config import KafkaSettings, RouterSettings
from pipeline.kafka.names import INGEST
from pipeline.kafka.standing import Standing, part_of
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.routing.agent import make_app, run_app
from pipeline.routing.router import Router

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]


class Idle:
    """A router to which nothing ever comes."""

    waiting: dict[int, int] = {}  # noqa: RUF012  # stays empty

    def forget(self, partitions: set[int]) -> None:
        """There is nothing to forget."""


class Watched(Standing):
    """Counts polls."""

    polls = 0

    def polled(self) -> None:
        super().polled()
        self.polls += 1


def at_once(call: Callable[..., object], *arguments: object) -> None:
    call(*arguments)


async def test_the_router_is_ready_once_it_is_assigned_and_polls_until_it_stops(empty_topics: KafkaSettings) -> None:
    health, stopping = Health(), asyncio.Event()
    standing = Watched(INGEST, health, at_once, limit=60)
    assert health.report()["missing"] == [part_of(INGEST)]
    router = cast("Router", Idle())
    app = make_app(empty_topics, RouterSettings(), router, Metrics(), standing)
    running = asyncio.create_task(run_app(app, stopping, standing))
    async with asyncio.timeout(60):
        while not (health.ready and standing.polls > 2):  # what is waited for has no event
            assert not running.done(), running.result()
            await asyncio.sleep(0.05)
    before = standing.polls
    async with asyncio.timeout(60):
        while standing.polls == before:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    stopping.set()
    await running
    assert health.live
