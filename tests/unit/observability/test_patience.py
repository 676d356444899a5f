import logging

import pytest

from pipeline.observability.health import Health
from pipeline.observability.patience import until_available


class World:
    """A server that is away for a number of calls, and a clock that only `sleep` moves."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0
        self.now = 0.0
        self.naps: list[float] = []
        self.health = Health("redis")
        self.seen_ready: list[bool] = []

    async def operation(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise ConnectionError("refused by redis://:hunter2@cache:6379")
        return "answer"

    async def sleep(self, seconds: float) -> None:
        self.seen_ready.append(self.health.ready)
        self.naps.append(seconds)
        self.now += seconds

    async def ask(self, *, cap: float = 5.0) -> str:
        return await until_available(
            "redis",
            self.operation,
            away=(ConnectionError,),
            health=self.health,
            where="redis://:hunter2@cache:6379",
            cap=cap,
            sleep=self.sleep,
            clock=lambda: self.now,
            jitter=lambda: 0.0,
        )


async def test_the_answer_of_a_server_that_is_there_comes_without_a_wait() -> None:
    world = World(failures=0)
    assert await world.ask() == "answer"
    assert world.naps == []
    assert world.health.ready


async def test_waits_double_up_to_the_cap_and_end_with_the_answer() -> None:
    world = World(failures=6)
    assert await world.ask(cap=1.0) == "answer"
    assert world.naps == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


async def test_the_service_is_unready_while_it_waits_and_ready_after() -> None:
    world = World(failures=3)
    await world.ask()
    assert world.seen_ready == [False] * 3
    assert world.health.ready


async def test_an_absence_is_logged_at_once_then_rarely_then_its_end_and_never_with_a_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    await World(failures=12).ask()
    first, *_, last = caplog.messages
    assert "cannot reach redis at redis://:***@cache:6379" in first
    assert "waiting, trying again" in first
    assert "is back" in last
    assert len(caplog.messages) == 2 + 3
    assert "hunter2" not in caplog.text
    assert "hunter2" not in str(World(0).health.report())


async def test_an_error_that_is_not_absence_goes_through_at_once() -> None:
    async def broken() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        await until_available("redis", broken, away=(ConnectionError,), health=Health())
