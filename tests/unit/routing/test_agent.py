"""The order of acknowledgements: never one before its records are in Kafka, never one before another that came first."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from pipeline.errors import Unavailable
from pipeline.routing.agent import AHEAD, AHEAD_RECORDS, route_in_order
from pipeline.routing.router import Router

COUNT = 3 * AHEAD


class FakeEvent:
    def __init__(self, number: int, acked: list[int], size: int) -> None:
        self.number = number
        self.value = [number] * size
        self._acked = acked

    def ack(self) -> None:
        self._acked.append(self.number)


class SlowKafka:
    """Stands in for the router: chunks are decided at once and acknowledged when the test says so."""

    def __init__(self) -> None:
        self.decided: list[list[int]] = []
        self.in_kafka = {number: asyncio.Event() for number in range(COUNT)}
        self.refuses: set[int] = set()

    async def decide(self, records: list[int]) -> list[int]:
        self.decided.append(records)
        return records

    async def acknowledged(self, batch: list[int]) -> None:
        for number in batch:
            await self.in_kafka[number].wait()
            if number in self.refuses:
                raise Unavailable("refused")


async def chunks(acked: list[int], size: int) -> AsyncIterator[FakeEvent]:
    for number in range(COUNT):
        yield FakeEvent(number, acked, size)
        await asyncio.sleep(0.001)
    await asyncio.Event().wait()


def start(kafka: SlowKafka, acked: list[int], size: int = 1) -> "asyncio.Task[None]":
    return asyncio.create_task(route_in_order(cast("Any", chunks(acked, size)), cast("Router", kafka)))


async def test_a_chunk_is_acknowledged_only_after_the_ones_before_it() -> None:
    kafka, acked = SlowKafka(), list[int]()
    task = start(kafka, acked)
    for number in (2, 1):
        kafka.in_kafka[number].set()
        await asyncio.sleep(0.02)
        assert acked == []
    kafka.in_kafka[0].set()
    await asyncio.sleep(0.02)
    assert acked == [0, 1, 2]
    task.cancel()


async def test_no_more_than_a_few_chunks_are_decided_ahead_of_kafka() -> None:
    kafka = SlowKafka()
    task = start(kafka, [])
    await asyncio.sleep(0.3)
    # one is being waited for, `AHEAD` are queued, one waits for room
    assert len(kafka.decided) == AHEAD + 2
    task.cancel()


async def test_few_large_chunks_are_decided_ahead_of_kafka() -> None:
    kafka = SlowKafka()
    task = start(kafka, [], size=AHEAD_RECORDS // 2)
    await asyncio.sleep(0.3)
    assert len(kafka.decided) == 2
    task.cancel()


async def test_what_came_while_one_chunk_was_decided_is_decided_together() -> None:
    kafka, acked = SlowKafka(), list[int]()
    task = start(kafka, acked)
    await asyncio.sleep(0.1)
    for number in range(COUNT):
        kafka.in_kafka[number].set()
    await asyncio.sleep(0.1)
    assert acked == list(range(COUNT))
    assert max(map(len, kafka.decided)) > 1
    assert [number for records in kafka.decided for number in records] == list(range(COUNT))
    task.cancel()


async def test_a_refusal_ends_the_router_with_that_chunk_and_all_after_it_unacknowledged() -> None:
    kafka, acked = SlowKafka(), list[int]()
    kafka.refuses = {1}
    task = start(kafka, acked)
    for number in range(COUNT):
        kafka.in_kafka[number].set()
    with pytest.raises(Unavailable, match="refused"):
        await asyncio.wait_for(task, 1)
    assert set(acked) <= {0}
