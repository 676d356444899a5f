import asyncio
import time
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from pipeline.providers.google_token import FAILURE_PAUSE, REFRESH_AHEAD, AccessToken, ServiceAccount, TokenUnavailable


class Source:
    """Issues t1, t2, … for an hour each; `slow` seconds in its thread."""

    def __init__(self, clock: "Clock", slow: float = 0.0) -> None:
        self.calls = 0
        self.broken = False
        self._clock = clock
        self._slow = slow

    def __call__(self) -> tuple[str, float]:
        self.calls += 1
        time.sleep(self._slow)
        if self.broken:
            raise TokenUnavailable("RefreshError", retryable=True)
        return f"t{self.calls}", self._clock() + 3600


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_many_at_once_fetch_one_token(clock: Clock) -> None:
    source = Source(clock, slow=0.02)
    token = AccessToken(source, clock)
    assert set(await asyncio.gather(*(token.get() for _ in range(50)))) == {"t1"}
    assert source.calls == 1


async def test_the_event_loop_runs_on_while_a_token_is_fetched(clock: Clock) -> None:
    token = AccessToken(Source(clock, slow=0.2), clock)
    fetching = asyncio.create_task(token.get())
    started = time.perf_counter()
    await asyncio.sleep(0)
    assert time.perf_counter() - started < 0.1
    assert await fetching == "t1"


async def test_a_token_about_to_end_is_used_while_the_next_is_fetched(clock: Clock) -> None:
    source = Source(clock)
    token = AccessToken(source, clock)
    await token.get()
    clock.now += 3600 - REFRESH_AHEAD + 1
    assert await token.get() == "t1"
    await token.close()
    assert await token.get() == "t2"
    assert source.calls == 2


async def test_a_refused_token_is_replaced_once_however_many_were_refused(clock: Clock) -> None:
    source = Source(clock)
    token = AccessToken(source, clock)
    old = await token.get()
    clock.now += FAILURE_PAUSE
    token.discard(old)
    assert await token.get() == "t2"
    token.discard(old)
    assert await token.get() == "t2"
    assert source.calls == 2


async def test_a_failure_answers_for_a_moment_and_is_then_tried_again(clock: Clock) -> None:
    source = Source(clock)
    source.broken = True
    token = AccessToken(source, clock)
    for _ in range(5):
        with pytest.raises(TokenUnavailable):
            await token.get()
    assert source.calls == 1
    clock.now += FAILURE_PAUSE
    source.broken = False
    assert await token.get() == "t2"


async def test_who_stops_waiting_does_not_stop_the_fetch_for_others(clock: Clock) -> None:
    token = AccessToken(Source(clock, slow=0.05), clock)
    impatient, patient = asyncio.create_task(token.get()), asyncio.create_task(token.get())
    await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == "t1"


@pytest.mark.parametrize("content", [None, "", "{}", '{"type": "authorized_user"}'])
def test_a_file_that_is_no_service_account_stops_the_start(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "account.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"providers\.fcm\.service_account"):
        ServiceAccount(path)
