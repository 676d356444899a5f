"""Delivery rate, open rate and latency percentiles for each channel and event type, straight from the topic.

    python examples/analytics/from_topic.py [--since 24h] [--json]

Connects as the pipeline does (PIPELINE_KAFKA__BOOTSTRAP_SERVERS). Memory does not grow with the topic: latencies go into
a histogram of fixed buckets (each 5 % wider than the one before, so a percentile is at most 5 % off), and records that
a crash wrote twice are recognised among the last 200,000.
"""

import argparse
import json
import math
import time
from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, field

from pipeline.accounts.take import open_codec
from pipeline.cli.status import parse_duration
from pipeline.config import Settings
from pipeline.errors import MalformedRecord
from pipeline.events.records import DeliveryStatus
from pipeline.events.vocabulary import Status
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.reader import Start, read_topics

GROWTH = 1.05
REMEMBERED = 200_000
OPENED = {Status.OPENED, Status.READ, Status.CLICKED}


@dataclass
class Latency:
    """Milliseconds in buckets whose bounds grow by `GROWTH`; a day is some 370 buckets."""

    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, milliseconds: float) -> None:
        self.buckets[math.ceil(math.log(max(milliseconds, 1), GROWTH))] += 1

    def percentile(self, share: float) -> float | None:
        """The upper bound of the bucket that it lies in."""
        rest = share * self.buckets.total()
        for bucket in sorted(self.buckets):
            rest -= self.buckets[bucket]
            if rest <= 0:
                return round(GROWTH**bucket, 1)
        return None


@dataclass
class Group:
    """One channel and event type."""

    counts: Counter[str] = field(default_factory=Counter)
    latency: Latency = field(default_factory=Latency)

    def report(self) -> dict[str, object]:
        sent, failed = self.counts[Status.SENT], self.counts[Status.FAILED]
        return {
            "sent": sent,
            "failed": failed,
            "delivery_rate": sent / (sent + failed) if sent + failed else None,
            "open_rate": self.counts["opened once"] / sent if sent else None,
            "p50_ms": self.latency.percentile(0.5),
            "p95_ms": self.latency.percentile(0.95),
            "p99_ms": self.latency.percentile(0.99),
        }


class Report:
    """Takes statuses in any order."""

    def __init__(self) -> None:
        self.groups: defaultdict[tuple[str, str], Group] = defaultdict(Group)
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def add(self, status: DeliveryStatus) -> None:
        word = "opened once" if status.status in OPENED else status.status
        if status.channel is None or self._again((status.notification_id, word)):
            return
        group = self.groups[status.channel, status.event_type]
        group.counts[word] += 1
        if status.status == Status.SENT:
            group.latency.add(status.occurred_at - status.created_at)

    def _again(self, key: tuple[str, str]) -> bool:
        known = key in self._seen
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return known


def read(settings: Settings, start: Start) -> Report:
    """All that the topic has from `start` to its end now."""
    report, codec = Report(), open_codec(settings.kafka)
    for batch in read_topics(settings.kafka, [DELIVERY_STATUS], start=start):
        for message in batch:
            try:
                report.add(codec.decode_status(message.value()))
            except MalformedRecord as error:
                print(f"skipped partition {message.partition()}, offset {message.offset()}: {error}")
    return report


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description="Rates and latencies for each channel and event type.")
    parser.add_argument("--since", help="Start that long ago: 30m, 24h, 7d; default: all that the topic has.")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    start: Start = int((time.time() - parse_duration(given.since)) * 1000) if given.since else "earliest"
    report = read(Settings.load(), start)
    rows = [{"channel": c, "event_type": t, **g.report()} for (c, t), g in sorted(report.groups.items())]
    if given.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{name}={_short(value)}" for name, value in row.items()))


def _short(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
