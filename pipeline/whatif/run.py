"""``pipeline what-if``: recorded ingest traffic under two policies. Reads the topic and the users; writes nothing."""

import asyncio
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from confluent_kafka import Message

from pipeline.config import Settings
from pipeline.events.codec import Codec
from pipeline.events.registry import open_book
from pipeline.kafka.inbound import Inbound, inbound
from pipeline.kafka.names import INGEST
from pipeline.kafka.reader import Start, read_topics
from pipeline.storage.postgres import open_pool
from pipeline.whatif.compare import Comparison, Recorded, Side
from pipeline.whatif.people import People
from pipeline.whatif.report import Findings, Report, shifts

LONGEST_WARM_UP = 24 * 3_600_000
"""Milliseconds before the span that are decided for the counters, where caps look back further and nobody says else."""

BATCH = 1_000


class Span(NamedTuple):
    """From `since` (None: all that the topic has) to before `until`, in ms; `warm_up` ms before that for the counters
    (None: as long as the caps look back, at most a day).
    """

    since: int | None
    until: int
    warm_up: int | None = None


async def what_if(
    settings: Settings,
    present: Side,
    candidate: Side,
    span: Span,
    *,
    examples: int = 3,
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Decide what was recorded in `span` under both; `progress` is told how many events were read.

    Raises:
        Unavailable: Kafka or PostgreSQL is away, or there is no topic.
    """
    began = time.monotonic()
    findings = Findings(examples)
    codec = Codec.open(await open_book(settings.kafka))
    comparison = Comparison(present, candidate, codec)
    try:
        async with await open_pool(settings.postgres) as pool:
            people = People(pool)
            batches = _batches(settings, comparison, span)
            while (records := await asyncio.to_thread(next, batches, None)) is not None:
                recorded, unreadable = await comparison.read(records)
                recorded = [r for r in recorded if r.record.timestamp < span.until]
                findings.unreadable += unreadable
                users = await people.find([r.event.recipient_id for r in recorded])
                for compared in comparison.compare(recorded, users):
                    if _counts(compared.recorded, span):
                        findings.add(compared)
                    else:
                        findings.warm_up += 1
                progress(len(records))
    finally:
        comparison.close()
    return _report(findings, present, candidate, span, time.monotonic() - began)


def _batches(settings: Settings, comparison: Comparison, span: Span) -> Iterator[list[Inbound]]:
    start: Start = "earliest"
    if span.since is not None:
        warm_up = min(comparison.memory, LONGEST_WARM_UP) if span.warm_up is None else span.warm_up
        start = max(0, span.since - warm_up)
    found: Iterator[Sequence[Message]] = read_topics(
        settings.kafka, [INGEST], start=start, until=span.until, batch=BATCH
    )
    for messages in found:
        yield [inbound(message) for message in messages]


def _counts(recorded: Recorded, span: Span) -> bool:
    return span.since is None or recorded.record.timestamp >= span.since


def _report(findings: Findings, present: Side, candidate: Side, span: Span, seconds: float) -> Report:
    groups = findings.groups()
    by_channel, by_type, by_reason = shifts(groups)
    return Report(
        present=present.catalogue.policy_version,
        candidate=candidate.catalogue.policy_version,
        since=None if span.since is None else _instant(span.since),
        until=_instant(span.until),
        decided=findings.decided,
        changed=findings.changed,
        unmatched=findings.unmatched,
        warm_up=findings.warm_up,
        unreadable=findings.unreadable,
        seconds=round(seconds, 3),
        events_per_second=round((findings.decided + findings.warm_up) / seconds, 1),
        peak_memory_mb=round(peak_memory() / 1e6, 1),
        outcomes=findings.outcomes(),
        by_channel=by_channel,
        by_type=by_type,
        by_reason=by_reason,
        differences=groups,
    )


def peak_memory() -> int:
    """Bytes of memory that this process had at most; macOS counts in bytes, Linux in KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
