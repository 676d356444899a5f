"""IP warm-up: the schedule as arithmetic, the counter in a real Redis over several workers."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from redis.asyncio import Redis

from pipeline.channels.warm_up import NAME, Admission, WarmUp, limit_on, until_next_day
from pipeline.config import WarmUpSettings
from pipeline.providers.base import Outcome, SendResult

FIRST = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def schedule(*daily: int, warm_pool: str = "") -> WarmUpSettings:
    excess = "warm_pool" if warm_pool else "defer"
    return WarmUpSettings.model_validate(
        {"since": FIRST, "daily": daily or (3, 5), "excess": excess, "warm_pool": warm_pool}
    )


def outcome(answer: Admission | SendResult) -> str:
    return answer.pool if isinstance(answer, Admission) else answer.error


@pytest.mark.parametrize(("day", "limit"), [(-1, 0), (0, 3), (1, 5), (2, None), (400, None)])
def test_each_day_has_its_limit_and_the_days_after_the_schedule_have_none(day: int, limit: int | None) -> None:
    assert limit_on(schedule(3, 5), FIRST + timedelta(days=day)) == limit


@given(st.datetimes(timezones=st.just(UTC), max_value=datetime(9999, 1, 1)))  # noqa: DTZ001 - hypothesis wants it bare
def test_what_waits_for_the_next_day_wakes_up_on_it(now: datetime) -> None:
    wait = until_next_day(now)
    assert 0 < wait <= 86_400
    assert (now + timedelta(seconds=wait)).date() == now.date() + timedelta(days=1)


def test_a_schedule_without_a_pool_for_its_excess_is_refused() -> None:
    with pytest.raises(ValidationError, match="warm_pool"):
        WarmUpSettings(since=FIRST, excess="warm_pool")
    with pytest.raises(ValidationError):
        WarmUpSettings(since=FIRST, daily=())


async def test_all_workers_together_send_no_more_than_the_day_allows(redis: Redis) -> None:
    workers = [WarmUp(redis, {"marketing": schedule(30)}, lambda: NOON) for _ in range(4)]
    answers = await asyncio.gather(*(w.admit("marketing", urgent=False) for w in workers for _ in range(25)))
    assert [outcome(answer) for answer in answers].count("marketing") == 30
    waits = [answer for answer in answers if isinstance(answer, SendResult)]
    assert {(w.outcome, w.error, w.retry_after) for w in waits} == {(Outcome.THROTTLED, NAME, 43_200.0)}


async def test_the_next_day_has_places_of_its_own_and_a_warm_pool_no_counter(redis: Redis) -> None:
    day = [NOON]
    warm_up = WarmUp(redis, {"marketing": schedule(1, 2)}, lambda: day[0])
    seen = []
    for later in range(3):
        day[0] = NOON + timedelta(days=later)
        seen.append([outcome(await warm_up.admit("marketing", urgent=False)) for _ in range(3)])
    assert seen == [["marketing", NAME, NAME], ["marketing", "marketing", NAME], ["marketing"] * 3]
    keys = await redis.keys("warm_up:*")
    assert len(keys) == 2
    assert all([await redis.pttl(key) > 0 for key in keys])


async def test_the_excess_goes_through_the_warm_pool_where_there_is_one(redis: Redis) -> None:
    warm_up = WarmUp(redis, {"marketing": schedule(1, warm_pool="old")}, lambda: NOON)
    assert [outcome(await warm_up.admit("marketing", urgent=False)) for _ in range(3)] == ["marketing", "old", "old"]


async def test_other_pools_are_not_counted(redis: Redis) -> None:
    warm_up = WarmUp(redis, {"marketing": schedule(1)}, lambda: NOON)
    assert {outcome(await warm_up.admit("transactional", urgent=False)) for _ in range(5)} == {"transactional"}


async def test_urgent_mail_counts_and_does_not_wait(redis: Redis) -> None:
    warm_up = WarmUp(redis, {"transactional": schedule(2)}, lambda: NOON)
    assert [outcome(await warm_up.admit("transactional", urgent=True)) for _ in range(4)] == ["transactional"] * 4
    assert outcome(await warm_up.admit("transactional", urgent=False)) == NAME


async def test_a_mail_that_was_not_sent_gives_its_place_back(redis: Redis) -> None:
    warm_up = WarmUp(redis, {"marketing": schedule(1)}, lambda: NOON)
    first = await warm_up.admit("marketing", urgent=False)
    assert isinstance(first, Admission)
    await warm_up.give_back(first)
    assert outcome(await warm_up.admit("marketing", urgent=False)) == "marketing"
    assert outcome(await warm_up.admit("marketing", urgent=False)) == NAME
    await redis.flushdb()
    await warm_up.give_back(first)
    assert not await redis.keys("*"), "a place of a day that Redis forgot is not worth a key"


async def test_without_the_counter_nothing_goes_through_a_new_pool() -> None:
    async with Redis(port=1, socket_connect_timeout=0.2) as nobody:
        answer = await WarmUp(nobody, {"marketing": schedule(1)}, lambda: NOON).admit("marketing", urgent=False)
    assert isinstance(answer, SendResult)
    assert (answer.outcome, answer.error, answer.retry_after) == (Outcome.THROTTLED, "redis_unavailable", 1.0)
