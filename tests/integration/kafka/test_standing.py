"""What the probes say of a real consumer: not ready before it is assigned, not live while its thread does not poll."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import pytest
from confluent_kafka import Producer

from pipeline.config import KafkaSettings
from pipeline.kafka import pauses, standing
from pipeline.kafka.group_protocol import choose_protocol
from pipeline.kafka.inbound import Inbound, Offsets, Position
from pipeline.kafka.source import KafkaSource
from pipeline.observability.health import Health
from tests.conftest import MakeTopic, Unique

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

POLL_LIMIT = 0.2


class Keeper:
    """Takes what comes and finishes nothing; writes down how the health was when partitions came."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self.ready_at_assignment: list[bool] = []
        self.taken: list[Inbound] = []

    def assigned(self, partitions: Mapping[int, Position | None]) -> None:  # as the seam has it
        self.ready_at_assignment.append(self._health.ready)

    def received(self, records: Sequence[Inbound]) -> None:
        self.taken += records

    async def revoked(self, partitions: Sequence[int]) -> Offsets:
        return {}

    def _nothing(self, *_: object) -> None:
        pass

    lost = ends = committed = commit_refused = metadata_refused = _nothing


class Reader:
    """A member of the group, running."""

    def __init__(self, kafka: KafkaSettings, topic: str, group: str) -> None:
        self.health = Health()
        self.keeper = Keeper(self.health)
        self.source = KafkaSource(
            kafka.model_copy(update={"poll_limit": POLL_LIMIT}), topic, group, self.keeper, self.health,
            protocol=choose_protocol(kafka), limit=1, batch=1, drain_timeout=0.1,
        )  # fmt: skip
        self.ready_before = self.health.ready
        self._run = asyncio.ensure_future(self.source.run())

    async def stop(self) -> None:
        self.source.stop()
        await self._run


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not reached():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.01)


async def test_a_consumer_is_ready_when_assigned_and_a_spare_one_once_it_stands_by(
    kafka_settings: KafkaSettings, make_topic: MakeTopic, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "STAND_BY", 0.5)
    topic, group = make_topic(), unique("group")
    first = Reader(kafka_settings, topic, group)
    assert not first.ready_before
    await until(lambda: first.health.ready)
    spare = Reader(kafka_settings, topic, group)
    assert not spare.ready_before
    await until(lambda: spare.health.ready)
    await spare.stop()
    await first.stop()


async def test_a_consumer_whose_thread_does_not_poll_is_not_live_until_it_polls_again(
    kafka_settings: KafkaSettings, make_topic: MakeTopic, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "HOLD", 3_600)  # it waits for room without polling, and never pauses
    topic = make_topic()
    producer = Producer({"bootstrap.servers": kafka_settings.bootstrap_servers})
    for n in range(2):
        producer.produce(topic, b"%d" % n)
    producer.flush(30)
    reader = Reader(kafka_settings, topic, unique("group"))
    await until(lambda: len(reader.keeper.taken) == 1)
    await until(lambda: not reader.health.live)
    (part,) = reader.health.report()["parts"].values()
    assert part["detail"].startswith("has not polled for ")
    reader.source.give_back()
    await until(lambda: len(reader.keeper.taken) == 2)
    reader.source.give_back()
    await until(lambda: reader.health.ready)
    await reader.stop()
