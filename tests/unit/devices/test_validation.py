from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.devices.validation import GIVE_UP_AFTER, Ask, Pace, Report, Validation, Verdict
from pipeline.providers.base import Outcome, SendResult
from pipeline.storage.devices import Registered
from pipeline.users.snapshot import Device

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Time:
    """Passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Registry:
    def __init__(self) -> None:
        self.pruned: dict[str, tuple[str, float | None]] = {}

    async def prune(
        self, user_id: str, device_id: str, reason: str, *, token: str | None = None, dead_since: float | None = None
    ) -> bool:
        assert token == f"token-{device_id}"
        self.pruned[device_id] = (reason, dead_since)
        return True


def device(name: str, *, platform: str = "android", days_ago: float = 1) -> Registered:
    seen = NOW - timedelta(days=days_ago)
    return Registered("anna", Device(name, platform, f"token-{name}"), seen, seen)


def answer(outcome: Outcome, error: str = "", retry_after: float | None = None) -> SendResult:
    return SendResult(outcome=outcome, provider="fcm", error=error, retry_after=retry_after)


ALIVE, DEAD = answer(Outcome.ACCEPTED), answer(Outcome.INVALID_RECIPIENT, "UNREGISTERED")


def says(*answers: SendResult) -> Ask:
    """These answers in turn, and the last for ever."""
    left = list(answers)

    async def ask(_token: str) -> SendResult:
        return left.pop(0) if len(left) > 1 else left[0]

    return ask


async def run(
    devices: Sequence[Registered],
    ask: Ask | None,
    registry: Registry | None = None,
    time: Time | None = None,
    *,
    dry_run: bool = False,
    rate: float = 1000.0,
) -> Report:
    async def all_of_them() -> AsyncIterator[Registered]:
        for registered in devices:
            yield registered

    time = time or Time()
    validation = Validation(
        registry or Registry(),
        ask,
        lambda registered: registered.device.platform == "android",
        pace=Pace(rate, time, time.sleep),
        now=NOW,
        stale_after=timedelta(days=270),
        dry_run=dry_run,
    )
    return await validation.run(all_of_them())


async def test_what_the_provider_calls_dead_is_pruned_and_what_it_calls_good_stays() -> None:
    registry = Registry()
    report = await run([device("good"), device("dead")], says(ALIVE, DEAD), registry)
    assert registry.pruned == {"dead": ("UNREGISTERED", None)}
    assert report.total == {Verdict.ALIVE: 1, Verdict.DEAD: 1}
    assert report.pruned == 1


async def test_what_was_not_seen_for_too_long_is_pruned_unless_it_is_seen_meanwhile() -> None:
    registry = Registry()
    old = device("old", days_ago=271)
    report = await run([old, device("new", days_ago=269)], says(ALIVE), registry)
    assert registry.pruned == {"old": ("stale", old.last_seen_at.timestamp())}
    assert report.total == {Verdict.STALE: 1, Verdict.ALIVE: 1}


async def test_a_dry_run_counts_and_prunes_nothing() -> None:
    registry = Registry()
    report = await run([device("dead"), device("old", days_ago=300)], says(DEAD), registry, dry_run=True)
    assert (registry.pruned, report.pruned) == ({}, 0)
    assert report.total == {Verdict.DEAD: 1, Verdict.STALE: 1}


async def test_only_age_counts_where_nobody_can_be_asked() -> None:
    devices = [device("phone", platform="ios"), device("old", platform="ios", days_ago=300), device("droid")]
    assert (await run(devices, None)).total == {Verdict.NOT_ASKED: 2, Verdict.STALE: 1}
    assert (await run(devices, says(ALIVE))).verdicts == {
        "ios": {Verdict.NOT_ASKED: 1, Verdict.STALE: 1},
        "android": {Verdict.ALIVE: 1},
    }


@pytest.mark.parametrize(
    "passing", [answer(Outcome.THROTTLED, retry_after=30), answer(Outcome.TRANSIENT), answer(Outcome.AMBIGUOUS)]
)
async def test_a_passing_failure_is_asked_again_after_a_while(passing: SendResult) -> None:
    time = Time()
    report = await run([device("d")], says(passing, DEAD), time=time)
    assert report.total == {Verdict.DEAD: 1}
    assert time.now >= 100 + (passing.retry_after or 1)


@pytest.mark.parametrize("outcome", [Outcome.TRANSIENT, Outcome.THROTTLED, Outcome.AMBIGUOUS, Outcome.PERMANENT])
async def test_nobody_is_pruned_for_an_answer_that_says_nothing(outcome: Outcome) -> None:
    registry = Registry()
    report = await run([device("d")], says(answer(outcome)), registry)
    assert (report.total, registry.pruned) == ({Verdict.UNKNOWN: 1}, {})


async def test_a_refused_account_is_not_asked_for_every_device() -> None:
    asked = 0

    async def refuse(_token: str) -> SendResult:
        nonlocal asked
        asked += 1
        return answer(Outcome.CONFIGURATION, "401")

    registry = Registry()
    report = await run([device(f"d{n}") for n in range(500)], refuse, registry)
    assert report.refused == "401"
    assert asked < GIVE_UP_AFTER + 60, "those under way when it became clear are asked still"
    assert (report.total, registry.pruned) == ({Verdict.UNKNOWN: 500}, {})


async def test_it_keeps_to_its_rate() -> None:
    time = Time()
    await run([device(f"d{n}") for n in range(51)], says(ALIVE), time=time, rate=10)
    assert time.now - 100 == pytest.approx(5)
