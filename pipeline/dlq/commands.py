"""Replay and drop as an operator asks for them: one at a time, audited before the first record and after the last."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.accounts.take import open_codec
from pipeline.config import Settings
from pipeline.dlq.handling import Mode, Stays, Steps, drop, replay
from pipeline.dlq.index import Entry
from pipeline.dlq.letters import Content, DeadLetter
from pipeline.dlq.reading import Desk
from pipeline.dlq.run import Plan, Report, Run
from pipeline.dlq.selection import Selection
from pipeline.events.codec import Codec
from pipeline.kafka.client import producer_config
from pipeline.kafka.handled_topic import read_handled, read_handled_if_any
from pipeline.kafka.producer import AsyncProducer
from pipeline.storage.audit import AuditTrail
from pipeline.storage.locks import exclusive
from pipeline.storage.postgres import open_pool

LOCK = "notifications.dlq"

MakePlan = Callable[[Codec], Plan]
Watch = Callable[[int], AbstractContextManager[Callable[[int], None]]]
"""Told how many dead letters are selected; then how many more are through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What an operator asks for. `action` is the audit trail's word; `details` what else it tells."""

    action: str
    who: str
    why: str
    selection: Selection
    plan: MakePlan
    details: dict[str, str | float]
    rate: float = 0


def replay_order(selection: Selection, mode: Mode, rate: float, who: str, why: str) -> Order:
    def plan(codec: Codec) -> Plan:
        def steps(letter: DeadLetter, content: Content, entry: Entry) -> Steps | Stays:
            return replay(letter, content, mode, codec, entry.open_units, now_ms())

        return steps

    details: dict[str, str | float] = {"decision": mode.value, "rate": rate}
    return Order(action="dlq.replay", who=who, why=why, selection=selection, plan=plan, details=details, rate=rate)


def drop_order(selection: Selection, who: str, why: str) -> Order:
    def plan(codec: Codec) -> Plan:
        def steps(letter: DeadLetter, content: Content, entry: Entry) -> Steps | Stays:
            return drop(letter, content, codec, entry.open_units, now_ms())

        return steps

    return Order(action="dlq.drop", who=who, why=why, selection=selection, plan=plan, details={})


def open_desk(settings: Settings) -> Desk:
    """For looking only. Blocks.

    Raises:
        Unavailable: Kafka or the schema registry is not there.
    """
    return Desk(settings.kafka, open_codec(settings.kafka), read_handled_if_any(settings.kafka))


def rehearse(settings: Settings, order: Order) -> Report:
    """What `carry_out` would do now; nothing is written. Blocks."""
    desk = open_desk(settings)
    run = Run(desk=desk, selection=order.selection, plan=order.plan(desk.codec))
    with desk.index(order.selection) as index:
        return asyncio.run(run.carry_out(index, None, _no_lock))


async def carry_out(settings: Settings, order: Order, watch: Watch) -> Report:
    """Do it.

    Raises:
        Unavailable: a server is away, or another operator is at it. What was not finished is open: run it again.
        ConfigurationError: PostgreSQL has no audit trail yet.
    """
    codec = await asyncio.to_thread(open_codec, settings.kafka)
    async with await open_pool(settings.postgres) as pool, exclusive(pool, LOCK) as still_held:
        desk = Desk(settings.kafka, codec, await asyncio.to_thread(read_handled, settings.kafka))
        with await asyncio.to_thread(desk.index, order.selection) as index:
            if not index.size:
                return Report(selected=0)
            trail = AuditTrail(pool)
            await _audit(trail, order, "begin", {"selected": index.size})
            async with AsyncProducer(producer_config(settings.kafka)) as producer:
                with watch(index.size) as on_progress:
                    run = Run(
                        desk=desk,
                        selection=order.selection,
                        plan=order.plan(codec),
                        rate=order.rate,
                        on_progress=on_progress,
                    )
                    report = await run.carry_out(index, producer, still_held)
            await _audit(trail, order, "end", report.counts())
            return report


async def _audit(trail: AuditTrail, order: Order, phase: str, counts: dict[str, int]) -> None:
    await trail.record(
        who=order.who,
        action=order.action,
        target=str(order.selection),
        why=order.why,
        details={"phase": phase, **order.details, **counts},
        at=datetime.now(UTC),
    )


async def _no_lock() -> None:
    """Looking needs none."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000
