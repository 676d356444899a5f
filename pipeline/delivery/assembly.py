"""Puts the parts of one engine together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from redis.asyncio import Redis

from pipeline.catalogue.model import InDoubt
from pipeline.channels.base import ChannelSender, Gate
from pipeline.channels.chain import ChainSender
from pipeline.channels.ungated import Ungated
from pipeline.config import Settings
from pipeline.delivery.courier import Courier
from pipeline.delivery.engine import Engine
from pipeline.delivery.epoch import Epoch
from pipeline.delivery.fairness import Fairness
from pipeline.delivery.in_hand import named_in_logs, traced
from pipeline.delivery.intake import Intake
from pipeline.delivery.keeper import Keeper
from pipeline.delivery.ledger import Ledger
from pipeline.delivery.observed import Observed
from pipeline.delivery.outbox import Outbox
from pipeline.delivery.ports import Clock, Directory
from pipeline.delivery.reporter import Reporter
from pipeline.delivery.retry import RetryPolicy
from pipeline.delivery.strangers import Strangers
from pipeline.delivery.told import StatusTail
from pipeline.delivery.work import Partition
from pipeline.events.codec import Codec
from pipeline.events.vocabulary import Priority
from pipeline.kafka.group_protocol import GroupProtocol
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import dispatch_topic, worker_group
from pipeline.kafka.producer import AsyncProducer
from pipeline.kafka.source import KafkaSource
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.observability.tracing import Tracing


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all engines of a worker share. `token` makes a new ledger token of 16 characters, `random` jitter.

    `in_doubt`: what becomes of notifications in doubt, for each category whose entry in the catalogue says it.
    """

    settings: Settings
    sender: ChannelSender
    codec: Codec
    producer: AsyncProducer
    redis: Redis
    directory: Directory
    health: Health
    metrics: Metrics
    clock: Clock
    token: Callable[[], str]
    random: Callable[[], float]
    in_doubt: Mapping[str, InDoubt] = field(default_factory=dict)
    fairness: Fairness = field(default_factory=Fairness)
    tracing: Tracing | None = None


class Delivery:
    """The engine of one priority of the channel, with its consumer. Make it inside the event loop that runs it."""

    def __init__(self, shared: Shared, priority: Priority, protocol: GroupProtocol) -> None:
        settings, sender, clock, health = shared.settings.delivery, shared.sender, shared.clock, shared.health
        topic = dispatch_topic(sender.channel, priority)
        observed = Observed(shared.metrics, sender, priority)
        ledger = Ledger(shared.redis, health, token=shared.token(), retention=settings.retention, lease=settings.lease)
        self._ledger = ledger
        observed.ledger_calls.set_function(lambda: len(ledger))
        self._outbox = Outbox(shared.producer, health)
        reporter = Reporter(self._outbox, shared.codec, ledger, observed, sender.channel, topic)
        policy = RetryPolicy.of(settings, shared.random)
        gate: Gate = sender if isinstance(sender, ChainSender) else Ungated(sender)
        courier = Courier(
            sender,
            gate,
            ledger,
            reporter,
            observed,
            policy,
            clock,
            self._finished,
            room=settings.max_in_flight // 2,
            hold=policy.time_to_send / 2,
            in_doubt=shared.in_doubt,
        )
        epoch = Epoch(shared.redis, shared.token)
        tail = StatusTail(shared.settings.kafka, shared.codec, sender.channel, priority)
        intake = Intake(shared.codec, shared.directory, ledger, epoch, tail, reporter, clock, health)
        strangers = Strangers(shared.directory, courier.step, clock)
        keeper = Keeper(epoch, ledger)
        step = traced(strangers.step, shared.tracing) if shared.tracing else strangers.step
        self._engine = Engine(intake, named_in_logs(step), keeper, settings, clock, observed, shared.fairness, priority)
        gate.subscribe(self._engine.wake)
        self._source = KafkaSource(
            shared.settings.kafka,
            topic,
            worker_group(sender.channel, priority),
            self._engine,
            health,
            protocol=protocol,
            limit=settings.max_in_flight,
            batch=settings.fetch_max_records,
            drain_timeout=settings.drain_timeout,
            metrics=shared.metrics,
        )

    def _finished(self, partition: Partition, record: Inbound) -> None:
        self._engine.finished(partition, record)

    async def run(self) -> None:
        """Deliver until `stop`.

        Raises:
            PipelineError: it cannot go on.
        """
        await self._engine.run(self._source, self._outbox.broken)
        await self._ledger.flush()

    @property
    def partitions(self) -> list[int]:
        """Those that it reads now."""
        return self._engine.partitions

    @property
    def in_flight(self) -> int:
        """Records taken and not finished."""
        return self._engine.in_flight

    def stop(self) -> None:
        """Take nothing more, finish what is under way within the drain timeout, leave the group."""
        self._source.stop()
