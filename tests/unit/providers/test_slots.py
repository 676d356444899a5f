import asyncio

from pipeline.providers.slots import Slots


async def waiting(slots: Slots, rank: int, order: list[str], name: str) -> None:
    if await slots.acquire(rank):
        order.append(name)


async def test_the_most_urgent_has_the_next_place_whoever_came_first() -> None:
    slots, order = Slots(1), list[str]()
    assert slots.try_acquire()
    tasks = [
        asyncio.create_task(waiting(slots, rank, order, name))
        for rank, name in [(3, "low 1"), (3, "low 2"), (0, "critical"), (2, "normal")]
    ]
    await asyncio.sleep(0)
    for _ in tasks:
        slots.release()
        await asyncio.sleep(0)
    assert order == ["critical", "normal", "low 1", "low 2"]
    await asyncio.gather(*tasks)


async def test_whoever_is_sent_away_has_no_place_and_takes_none() -> None:
    slots, order = Slots(1), list[str]()
    assert slots.try_acquire()
    task = asyncio.create_task(waiting(slots, 0, order, "sent away"))
    await asyncio.sleep(0)
    slots.dismiss()
    await task
    assert order == []
    slots.release()
    assert slots.try_acquire()
    assert not slots.try_acquire()


async def test_a_place_of_one_who_is_cancelled_is_not_lost() -> None:
    slots = Slots(1)
    assert slots.try_acquire()
    first = asyncio.create_task(slots.acquire(0))
    second = asyncio.create_task(slots.acquire(0))
    await asyncio.sleep(0)
    slots.release()
    first.cancel()
    assert await asyncio.wait_for(second, 1)
    slots.release()
    third = asyncio.create_task(slots.acquire(0))
    assert await asyncio.wait_for(third, 1)
