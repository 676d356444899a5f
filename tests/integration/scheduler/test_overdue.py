"""What is due and not released shows, by how long it has been due."""

import pytest

from pipeline.events.vocabulary import Priority
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.scheduler.overdue import Overdue
from tests.integration.scheduler.conftest import MINUTE, NOON, Desk, deferred

pytestmark = pytest.mark.broker


async def test_the_oldest_wait_that_is_over_and_not_released_is_told_by_its_age(desk: Desk) -> None:
    metrics = Metrics()
    overdue = Overdue(desk.pool, Health(), metrics, desk.now)

    async def seconds(channel: str) -> float | None:
        await overdue.once()
        return metrics.registry.get_sample_value("notifications_release_overdue_seconds", {"channel": channel})

    await desk.store([deferred("k1"), deferred("k2", until=NOON + 3 * MINUTE, priority=Priority.HIGH)])
    assert await seconds("email") == 0
    desk.clock[0] = NOON + 5 * MINUTE
    assert await seconds("email") == 240
    assert await seconds("push") == 0
    await desk.releaser().tick()
    assert await seconds("email") == 0
