import asyncio
from collections.abc import Coroutine

import pytest

from pipeline.channels.cutoff import RESOLUTION, CutOff


def later(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_an_answer_in_time_comes_through_whatever_it_is() -> None:
    cut_off = CutOff()
    assert await cut_off.at(later(5), asyncio.sleep(0.001, "well")) == "well"

    async def fails() -> None:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        await cut_off.at(later(5), fails())


async def test_calls_are_cut_off_each_at_its_own_deadline() -> None:
    cut_off, loop = CutOff(), asyncio.get_running_loop()

    async def cut(seconds: float) -> float:
        began = loop.time()
        with pytest.raises(TimeoutError):
            await cut_off.at(began + seconds, asyncio.sleep(60))
        return loop.time() - began

    took = await asyncio.gather(*map(cut, [0.05, 0.5, 0.2]))
    assert [seconds >= at for seconds, at in zip(took, [0.05, 0.5, 0.2], strict=True)] == [True] * 3
    assert sorted(took) == [took[0], took[2], took[1]]
    assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]  # a test runs in a task


async def test_a_deadline_that_is_over_still_cuts_off() -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(CutOff().at(later(-1), asyncio.sleep(60)), 5)


async def test_a_cancel_from_outside_is_no_timeout() -> None:
    cut_off = CutOff()
    task = asyncio.create_task(wrapped(cut_off.at(later(60), asyncio.sleep(60))))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_its_timer_rests_when_nobody_calls() -> None:
    cut_off = CutOff()
    await cut_off.at(later(5), asyncio.sleep(0))
    await asyncio.sleep(2 * RESOLUTION)
    assert cut_off._timer is None
    assert not cut_off._calls


async def wrapped(call: Coroutine[object, object, None]) -> None:
    await call
