import asyncio
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delivery import fairness
from pipeline.delivery.fairness import BEARABLE, LEAST, Allowance, Fairness, Share
from pipeline.events.vocabulary import Priority

FULL = 50


def nothing() -> None: ...


def join(all_of_them: Fairness, priority: Priority, grow: Callable[[], None] = nothing) -> Share:
    return all_of_them.join(priority, FULL, 500, grow)


@given(st.lists(st.floats(0, 1)), st.integers(1, 300))
def test_nobody_stops_altogether_and_nobody_has_more_than_everything(delays: list[float], full: int) -> None:
    allowance = Allowance(full)
    for delay in delays:
        before = allowance.value
        allowance.adjust(delay)
        assert min(LEAST, full) <= allowance.value <= full
        assert allowance.value <= before if delay > BEARABLE else allowance.value >= before


async def test_less_urgent_engines_make_room_at_once_and_for_as_long_as_there_is_urgent_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fairness, "REMEMBERED", 3.0)
    process, grown = Fairness(), list[float]()
    critical = join(process, Priority.CRITICAL)
    low = join(process, Priority.LOW, lambda: grown.append(time.monotonic()))
    low.works()
    assert (low.limit(), low.batch()) == (FULL, 500), "nobody is more urgent"
    critical.works()
    assert low.limit() < FULL / 2
    assert low.batch() < 500
    assert (critical.limit(), critical.batch()) == (FULL, 500)
    await asyncio.sleep(0.1)
    critical.works()
    await asyncio.sleep(0.1)
    assert low.allowance is not None, "it was at work a moment ago"
    grown.clear()
    async with asyncio.timeout(30):
        while low.limit() < FULL:  # noqa: ASYNC110  # looks at what time does
            await asyncio.sleep(0.05)
    assert grown, "and it is told"
    for share in (critical, low):
        process.leave(share)


async def test_a_busy_loop_takes_from_the_less_urgent_and_a_quiet_one_gives_back() -> None:
    process = Fairness()
    high, low = join(process, Priority.HIGH), join(process, Priority.LOW)
    high.works()
    for _ in range(10):
        time.sleep(0.03)  # noqa: ASYNC251 - the loop is to be late
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
    assert low.limit() == LEAST
    assert high.limit() == FULL
    for share in (high, low):
        process.leave(share)


async def test_a_lone_engine_has_all_of_the_loop_and_keeps_no_timer() -> None:
    process = Fairness()
    only = join(process, Priority.LOW)
    only.works()
    assert only.limit() == FULL
    assert process._timer is None
    await asyncio.wait_for(only.breathe(lambda: 10_000), 0.01)
    process.leave(only)
