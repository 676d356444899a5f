"""Replays or drops a selection of dead letters: slice by slice, each of them written, acknowledged, and then marked.

A slice that a crash interrupts is not marked, and so is done again by the next run. What went out twice then is one and
the same: it carries the same round, by which the router and the ledger know it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pipeline.dlq.handling import Stays, Steps
from pipeline.dlq.index import Entry, Index
from pipeline.dlq.letters import Content, DeadLetter
from pipeline.dlq.reading import Desk
from pipeline.dlq.scan import scan
from pipeline.dlq.selection import Selection
from pipeline.kafka.producer import AsyncProducer, Record

SLICE = 500
"""Dead letters that are written together, at most: what a crash makes go out twice."""

SLICES_A_SECOND = 10
"""How finely a rate is kept."""

Plan = Callable[[DeadLetter, Content, Entry], Steps | Stays]
"""What is to be written for a dead letter that is open and is no copy."""


@dataclass(slots=True, kw_only=True)
class Report:
    """What became of the `selected` dead letters.

    `done`: replayed or dropped. `copies`: a crash had written them twice, or their original was handled before.
    `settled`: the notification had an outcome already. Of both nothing was sent; they are marked. `stay`: why, how many.
    """

    selected: int
    done: int = 0
    copies: int = 0
    settled: int = 0
    stay: Counter[str] = field(default_factory=Counter)

    @property
    def staying(self) -> int:
        return sum(self.stay.values())

    def counts(self) -> dict[str, int]:
        """For the audit trail."""
        return {
            "selected": self.selected,
            "done": self.done,
            "copies": self.copies,
            "settled": self.settled,
            "staying": self.staying,
        }

    def to_document(self) -> dict[str, object]:
        """JSON-able: the counts, and why some had to stay."""
        return {**self.counts(), "why_staying": dict(self.stay)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One command. `before_each` is awaited before a slice is written; `rate` is records a second, 0 for no limit."""

    desk: Desk
    selection: Selection
    plan: Plan
    rate: float = 0
    on_progress: Callable[[int], None] = lambda _: None

    async def carry_out(
        self, index: Index, producer: AsyncProducer | None, before_each: Callable[[], Awaitable[None]]
    ) -> Report:
        """Do it to all that the index has chosen; without a producer only count.

        Raises:
            Unavailable: a server went away. What was not acknowledged stays open: run it again.
        """
        report = Report(selected=index.size)
        work = _Slice(self, report, producer, before_each)
        batches = scan(self.desk.kafka, self.selection.topics)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            for letter in batch:
                entry = index.find(letter)
                if entry is not None:
                    await work.add(letter, entry)
        await work.flush()
        return report


class _Slice:
    """What is to be written next."""

    def __init__(
        self, run: Run, report: Report, producer: AsyncProducer | None, before_each: Callable[[], Awaitable[None]]
    ) -> None:
        self._run = run
        self._report = report
        self._producer = producer
        self._before_each = before_each
        self._size = min(SLICE, max(1, int(run.rate / SLICES_A_SECOND))) if run.rate else SLICE
        self._started = time.monotonic()
        self._statuses: list[Record] = []
        self._records: list[Record] = []
        self._over: list[DeadLetter] = []

    async def add(self, letter: DeadLetter, entry: Entry) -> None:
        report = self._report
        if entry.copy:
            report.copies += 1
        elif entry.settled:
            report.settled += 1
        else:
            content = await asyncio.to_thread(self._run.desk.content, letter)
            match self._run.plan(letter, content, entry):
                case Stays(why):
                    report.stay[why] += 1
                    self._run.on_progress(1)
                    return
                case Steps(statuses, record):
                    report.done += 1
                    self._statuses += statuses
                    self._records += [record] if record else []
        self._over.append(letter)
        if len(self._over) >= self._size:
            await self.flush()

    async def flush(self) -> None:
        """Statuses, then records, then marks; each acknowledged before the next."""
        over, statuses, records = self._over, self._statuses, self._records
        self._over, self._statuses, self._records = [], [], []
        if self._producer is not None and over:
            await self._before_each()
            await self._producer.send_all(statuses)
            await self._producer.send_all(records)
            handled = self._run.desk.handled
            for letter in over:
                handled.add(*letter.position)
            await self._producer.send_all(list(handled.take_changes()))
            await self._keep_rate()
        self._run.on_progress(len(over))

    async def _keep_rate(self) -> None:
        if self._run.rate:
            await asyncio.sleep(self._started + self._report.done / self._run.rate - time.monotonic())
