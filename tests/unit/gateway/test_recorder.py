import asyncio
from collections.abc import Collection, Iterable

import pytest

from pipeline.catalogue.model import Catalogue, Category, Entry, Stream
from pipeline.errors import Unavailable
from pipeline.events.references import Feedback, Reference
from pipeline.events.vocabulary import Channel, Priority, Reason, Status
from pipeline.gateway.tracking import recorder as module
from pipeline.gateway.tracking.recorder import Recorder, Seen
from pipeline.observability.metrics import Metrics
from pipeline.users.snapshot import PreferenceRow, UserSnapshot

MARKETING = Category("marketing", Stream.MARKETING, consent_required=False)
CATALOGUE = Catalogue(
    "1",
    {"marketing": MARKETING},
    {},
    Entry(
        pattern="defaults",
        category=MARKETING,
        priority=Priority.LOW,
        priority_ceiling=None,
        escalate=(),
        channels=(),
        only_channels=None,
        template="t",
        templates={},
        schema=None,
        caps=(),
        ttl=None,
        collapse_key=None,
        mandatory=False,
    ),
)


class Topic:
    """Takes what it is told; `away` times it is not there."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.told: list[str] = []

    async def write(self, pieces: Iterable[tuple[Reference, Feedback]]) -> int:
        if self.away:
            self.away -= 1
            raise Unavailable("Kafka is away")
        self.told += [reference.notification_id for reference, _ in pieces]
        return 0


class People:
    """Bob has opted out, and nobody knows Carol."""

    async def snapshots(self, user_ids: Collection[str]) -> dict[str, UserSnapshot]:
        no = PreferenceRow("*", "tracking", False, None, None, None)
        return {
            user_id: UserSnapshot(user_id, 1, known=user_id != "carol", preferences=[no] if user_id == "bob" else [])
            for user_id in user_ids
        }


def seen(number: int, user_id: str = "alice", *, always: bool = False) -> Seen:
    reference = Reference(
        notification_id=str(number),
        event_id="e",
        idempotency_key="k",
        recipient_id=user_id,
        event_type="marketing.newsletter",
        category="marketing",
        source="",
        channel=Channel.EMAIL,
        priority=Priority.LOW,
        stream="marketing",
        rule="",
        policy_version="1",
        created_at=0,
    )
    return Seen(reference, Feedback(Status.OPENED, Reason.REPORTED, 1), always)


async def told(topic: Topic, pieces: list[Seen], metrics: Metrics) -> list[str]:
    recorder = Recorder(topic, People(), CATALOGUE, metrics)
    for piece in pieces:
        recorder.put(piece)
    recorder.start()
    await asyncio.wait_for(recorder.close(), 60)
    return topic.told


def counted(metrics: Metrics, outcome: str) -> float:
    labels = {"status": "opened", "outcome": outcome}
    return metrics.registry.get_sample_value("notifications_tracking_total", labels) or 0.0


async def test_what_waits_while_kafka_is_away_is_told_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    metrics = Metrics()
    assert await told(Topic(away=3), [seen(n) for n in range(1_200)], metrics) == [str(n) for n in range(1_200)]
    assert counted(metrics, "told") == 1_200


async def test_who_opted_out_or_is_gone_is_not_told_of_but_for_what_they_asked_for() -> None:
    metrics = Metrics()
    pieces = [seen(1), seen(2, "bob"), seen(3, "carol"), seen(4, "bob", always=True)]
    assert await told(Topic(), pieces, metrics) == ["1", "4"]
    assert counted(metrics, "opted_out") == 2


async def test_what_does_not_fit_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    metrics = Metrics()
    assert await told(Topic(), [seen(n) for n in range(5)], metrics) == ["0", "1", "2"]
    assert counted(metrics, "dropped") == 2
