"""The order of acknowledgements: never one before its records are in Kafka, never one before another that came first."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, cast

import pytest

from pipeline.errors import Unavailable
from pipeline.routing import agent
from pipeline.routing.agent import AHEAD, AHEAD_RECORDS, route_in_order
from pipeline.routing.router import Router


class FakeRecord(NamedTuple):
    offset: int
    partition: int = 0


class FakeEvent:
    def __init__(self, number: int, acked: list[int], size: int = 1) -> None:
        self.number = number
        self.value = [FakeRecord(number)] * size
        self._acked = acked

    def ack(self) -> None:
        self._acked.append(self.number)


class SlowKafka:
    """Stands in for the router: chunks are decided at once and acknowledged when the test says so.

    Records of `strangers` wait until they are taken out of it.
    """

    def __init__(self) -> None:
        self.strangers: set[int] = set()
        self.lobby: list[int] = []
        self.decided: list[list[int]] = []
        self.in_kafka = {number: asyncio.Event() for number in range(3 * AHEAD)}
        self.refuses: set[int] = set()

    @property
    def waiting(self) -> dict[int, int]:
        return {0: min(self.lobby)} if self.lobby else {}

    async def decide(self, records: list[FakeRecord]) -> list[int]:
        numbers = [*self.lobby, *(record.offset for record in records)]
        self.lobby = [number for number in numbers if number in self.strangers]
        decided = [number for number in numbers if number not in self.strangers]
        if decided:
            self.decided.append(decided)
        return decided

    async def acknowledged(self, batch: list[int]) -> None:
        for number in batch:
            await self.in_kafka[number].wait()
            if number in self.refuses:
                raise Unavailable("refused")


async def chunks(acked: list[int], count: int, size: int) -> AsyncIterator[FakeEvent]:
    for number in range(count):
        yield FakeEvent(number, acked, size)
        await asyncio.sleep(0.001)
    await asyncio.Event().wait()


def start(kafka: SlowKafka, acked: list[int], count: int = 10, size: int = 1) -> "asyncio.Task[None]":
    return asyncio.create_task(route_in_order(cast("Any", chunks(acked, count, size)), cast("Router", kafka)))


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
    task = start(kafka, [], count=3 * AHEAD)
    # one is being waited for, `AHEAD` are queued, one waits for room
    await until(lambda: len(kafka.decided) == AHEAD + 2)
    await asyncio.sleep(0.1)
    assert len(kafka.decided) == AHEAD + 2
    task.cancel()


async def test_few_large_chunks_are_decided_ahead_of_kafka() -> None:
    kafka = SlowKafka()
    task = start(kafka, [], size=AHEAD_RECORDS // 2)
    await until(lambda: len(kafka.decided) == 2)
    await asyncio.sleep(0.1)
    assert len(kafka.decided) == 2
    task.cancel()


async def test_what_came_while_one_chunk_was_decided_is_decided_together() -> None:
    kafka, acked, count = SlowKafka(), list[int](), 2 * AHEAD
    task = start(kafka, acked, count)
    await until(lambda: len(kafka.decided) == AHEAD + 2)
    await asyncio.sleep(0.5)  # for a few more to come
    for number in range(count):
        kafka.in_kafka[number].set()
    await until(lambda: acked == list(range(count)))
    assert max(map(len, kafka.decided)) > 1
    assert [number for records in kafka.decided for number in records] == list(range(count))
    task.cancel()


async def test_a_refusal_ends_the_router_with_that_chunk_and_all_after_it_unacknowledged() -> None:
    kafka, acked = SlowKafka(), list[int]()
    kafka.refuses = {1}
    task = start(kafka, acked)
    for number in range(10):
        kafka.in_kafka[number].set()
    with pytest.raises(Unavailable, match="refused"):
        await asyncio.wait_for(task, 1)
    assert set(acked) <= {0}


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():  # noqa: ASYNC110  # looks at what others do, who set no event
            await asyncio.sleep(0.01)


async def test_a_record_that_waits_for_its_user_holds_back_only_what_is_acknowledged_not_what_is_decided() -> None:
    kafka, acked = SlowKafka(), list[int]()
    kafka.strangers = {3, 6}
    for event in kafka.in_kafka.values():
        event.set()
    task = start(kafka, acked)
    await until(lambda: sorted(n for numbers in kafka.decided for n in numbers) == [0, 1, 2, 4, 5, 7, 8, 9])
    await until(lambda: acked == [0, 1, 2])
    kafka.strangers = {6}
    await until(lambda: acked == [0, 1, 2, 3, 4, 5])
    kafka.strangers = set()
    await until(lambda: acked == list(range(10)))
    task.cancel()


async def test_while_a_record_waits_no_more_than_so_many_are_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "UNACKNOWLEDGED", 4)
    kafka, acked = SlowKafka(), list[int]()
    kafka.strangers = {1}
    for event in kafka.in_kafka.values():
        event.set()
    task = start(kafka, acked)
    await until(lambda: acked == [0])
    await asyncio.sleep(0.7)
    assert acked == [0]
    assert max(n for numbers in kafka.decided for n in numbers) < 9
    kafka.strangers = set()
    await until(lambda: acked == list(range(10)))
    task.cancel()
