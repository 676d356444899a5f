import asyncio
from collections.abc import Callable

import pytest

from pipeline.storage.coalescer import BUSY, Coalescer


class Doubling:
    """Doubles numbers; remembers the batches, waits for `gate`, fails on demand."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer: Callable[[list[int]], list[int]] = lambda items: [2 * item for item in items]

    async def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        await self.gate.wait()
        return self.answer(items)


async def test_calls_of_one_moment_become_one_and_each_gets_its_own_answer() -> None:
    flush = Doubling()
    coalescer = Coalescer(flush)
    assert await asyncio.gather(*map(coalescer.call, range(5))) == [0, 2, 4, 6, 8]
    assert flush.batches == [[0, 1, 2, 3, 4]]


async def test_a_full_batch_does_not_wait() -> None:
    flush = Doubling()
    coalescer = Coalescer(flush, spacing=0.05, limit=2)
    async with asyncio.timeout(0.04):
        assert [*await asyncio.gather(coalescer.call(1), coalescer.call(2))] == [2, 4]
    assert await coalescer.call(3) == 6
    assert flush.batches == [[1, 2], [3]]


async def test_a_lone_call_waits_for_nothing_and_a_crowd_is_spaced() -> None:
    flush = Doubling()
    coalescer = Coalescer(flush, spacing=0.2)
    async with asyncio.timeout(0.1):
        assert await coalescer.call(1) == 2
    await asyncio.sleep(0.05)
    await asyncio.gather(*map(coalescer.call, range(BUSY)))
    began = asyncio.get_running_loop().time()
    first = asyncio.create_task(coalescer.call(2))
    await asyncio.sleep(0.05)
    assert [*await asyncio.gather(first, coalescer.call(3))] == [4, 6]
    assert asyncio.get_running_loop().time() - began > 0.1
    assert flush.batches == [[1], list(range(BUSY)), [2, 3]]


async def test_a_slow_batch_does_not_hold_up_the_next() -> None:
    flush = Doubling()
    coalescer = Coalescer(flush)
    flush.gate.clear()
    slow = asyncio.create_task(coalescer.call(1))
    await asyncio.sleep(0.01)
    later = asyncio.create_task(coalescer.call(2))
    await asyncio.sleep(0.01)
    assert flush.batches == [[1], [2]]
    flush.gate.set()
    assert (await slow, await later) == (2, 4)


async def test_an_error_reaches_every_caller_of_the_batch_and_no_later_one() -> None:
    flush = Doubling()
    coalescer = Coalescer(flush)
    flush.answer = lambda items: [1 // (item - item) for item in items]
    results = await asyncio.gather(coalescer.call(1), coalescer.call(2), return_exceptions=True)
    assert [type(result) for result in results] == [ZeroDivisionError, ZeroDivisionError]
    flush.answer = lambda items: items
    assert await coalescer.call(3) == 3


async def test_too_few_answers_are_an_error_rather_than_a_wait_for_ever() -> None:
    flush = Doubling()
    flush.answer = lambda items: items[1:]
    coalescer = Coalescer(flush)
    with pytest.raises(ValueError, match="shorter"):
        await asyncio.gather(coalescer.call(1), coalescer.call(2))
    await asyncio.sleep(0)


@pytest.mark.parametrize("started", [False, True])
async def test_a_cancelled_caller_leaves_the_others_alone(started: bool) -> None:
    flush = Doubling()
    coalescer = Coalescer(flush)
    flush.gate.clear()
    impatient, patient = (asyncio.create_task(coalescer.call(item)) for item in (1, 2))
    await asyncio.sleep(0.01 if started else 0)
    impatient.cancel()
    flush.gate.set()
    assert await patient == 4
    assert impatient.cancelled()
    assert flush.batches == [[1, 2]]
