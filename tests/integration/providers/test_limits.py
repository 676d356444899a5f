"""Rate limits on a real Redis: how many get through in a time, by however many workers."""

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from pipeline.providers.limits import AWAY_WAIT, Limit, Limits, limit_key

if TYPE_CHECKING:
    from pipeline.embedded.valkey import Valkey

KEY = limit_key("test:account", "relay")


async def test_places_are_handed_out_at_the_rate_over_all_workers(redis: Redis) -> None:
    limit = Limit(KEY, 50, burst=1)
    workers = [Limits(redis) for _ in range(3)]
    places = await asyncio.gather(*(worker.take(limit, 60) for worker in workers for _ in range(40)))
    assert all(place.taken for place in places)
    waits = sorted(place.wait for place in places)
    gaps = [later - earlier for earlier, later in itertools.pairwise(waits)]
    assert waits[0] == 0
    assert waits[-1] == pytest.approx(119 / 50, abs=0.2)
    assert max(gaps) < 0.1, "an even flow"


async def test_a_burst_comes_at_once_and_is_paid_back(redis: Redis) -> None:
    limits, limit = Limits(redis), Limit(KEY, 10, burst=5)
    places = await asyncio.gather(*(limits.take(limit, 60) for _ in range(7)))
    assert [place.wait for place in places[:5]] == [0] * 5
    assert [place.wait for place in places[5:]] == [pytest.approx(0.1, abs=0.05), pytest.approx(0.2, abs=0.05)]


async def test_what_would_come_too_late_is_not_reserved(redis: Redis) -> None:
    limits, limit = Limits(redis), Limit(KEY, 10)
    places = await asyncio.gather(*(limits.take(limit, 0.45) for _ in range(20)))
    assert [place.taken for place in places] == [True] * 5 + [False] * 15
    again = await limits.take(limit, 60)
    assert again.taken
    assert again.wait == pytest.approx(0.5, abs=0.1), "those that were refused took no place"


async def test_a_place_now_or_none(redis: Redis) -> None:
    limits, limit = Limits(redis), Limit(KEY, 10)
    assert (await limits.take(limit, 0)).taken
    assert not (await limits.take(limit, 0)).taken
    await asyncio.sleep(0.11)
    assert (await limits.take(limit, 0)).taken


async def test_a_pause_that_a_provider_asked_for_holds_for_every_worker(redis: Redis) -> None:
    limit = Limit(KEY, 100, burst=50)
    await Limits(redis).pause(limit, 3)
    place = await Limits(redis).take(limit, 1)
    assert not place.taken
    assert place.wait == pytest.approx(3, abs=0.2)
    await Limits(redis).pause(limit, 1)
    assert (await Limits(redis).take(limit, 1)).wait > 2, "a shorter pause does not end a longer one"


async def test_limits_do_not_know_of_each_other_and_leave_no_key_behind(redis: Redis) -> None:
    limits = Limits(redis)
    first, second = Limit(limit_key("sms:country", "DE"), 1), Limit(limit_key("sms:country", "FR"), 1)
    places = await asyncio.gather(limits.take(first, 60), limits.take(second, 60), limits.take(first, 60))
    assert [round(place.wait) for place in places] == [0, 0, 1]
    assert sorted(await redis.keys("*")) == [b"rate:{sms:country:DE}", b"rate:{sms:country:FR}"]
    assert all([0 < await redis.pttl(key) <= 4000 for key in await redis.keys("*")])


async def test_without_redis_nobody_is_let_through(redis: Redis, valkey: "Valkey") -> None:
    if valkey.server is None:
        pytest.skip("this Redis is not ours to stop")
    await asyncio.to_thread(valkey.server.stop)
    try:
        began = time.monotonic()
        place = await Limits(redis).take(Limit(KEY, 1000), 60)
        assert time.monotonic() - began < 10
        assert (place.wait, place.taken) == (AWAY_WAIT, False)
    finally:
        await asyncio.to_thread(valkey.server.start)
