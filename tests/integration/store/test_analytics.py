"""What analysts are shown to run runs, and counts right: from the topic, from the archive, from the store's views."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from pipeline.config import ArchiveSettings
from pipeline.events.records import DeliveryStatus
from pipeline.events.vocabulary import Channel, Reason, Status
from pipeline.store.archive import Archive
from tests.integration.store.conftest import DAY, NOW, Desk, fill, status

EXAMPLES = Path("examples/analytics")


def told(at: int) -> list[DeliveryStatus]:
    """Ten e-mails: nine sent after 100 ms each, three of them opened (one twice), one failed."""
    made = []
    for n in range(10):
        word = Status.FAILED if n == 9 else Status.SENT
        made.append(status(f"k{n}", word, at + 100, created_at=at, channel=Channel.EMAIL))
    made += [status(f"k{n}", Status.OPENED, at + 900, created_at=at, channel=Channel.EMAIL) for n in range(3)]
    return [*made, status("k0", Status.OPENED, at + 950, created_at=at, channel=Channel.EMAIL)]


@pytest.mark.broker
def test_rates_and_latencies_from_the_topic(topic_desk: Desk) -> None:
    records = told(NOW)
    topic_desk.tell([*records, *records[:4]])
    environment = {"PIPELINE_KAFKA__BOOTSTRAP_SERVERS": topic_desk.settings.kafka.bootstrap_servers}
    command = [sys.executable, str(EXAMPLES / "from_topic.py"), "--json"]
    (row,) = json.loads(subprocess.check_output(command, env=os.environ | environment))
    assert (row["channel"], row["event_type"], row["sent"], row["failed"]) == ("email", "order.shipped", 9, 1)
    assert row["delivery_rate"] == pytest.approx(0.9)
    assert row["open_rate"] == pytest.approx(3 / 9)
    assert row["p99_ms"] == pytest.approx(100, rel=0.05)


async def test_rates_and_latencies_from_the_archive(desk: Desk, tmp_path: Path) -> None:
    old = NOW - 100 * DAY
    await fill(desk.pool, told(old))
    cold = ArchiveSettings(url=f"file://{tmp_path}")
    until = datetime.fromtimestamp(old / 1000, UTC).date() + timedelta(days=1)
    list(Archive(desk.settings.postgres.dsn.get_secret_value(), cold).run(until))
    query = (EXAMPLES / "from_archive.sql").read_text()
    with duckdb.connect() as connection:
        connection.execute(f"SET VARIABLE archive = '{tmp_path}'")
        (row,) = connection.execute(query).fetchall()
    assert row == ("email", "order.shipped", 9, 1, 0.9, pytest.approx(1 / 3), 100, 100, 100)


async def test_the_views_count_by_hour_without_looking_at_rows(desk: Desk) -> None:
    refused = status("no", Status.SUPPRESSED, NOW, channel=Channel.EMAIL, reason=Reason.OPTED_OUT, provider="")
    await fill(desk.pool, [*told(NOW), refused])
    await fill(desk.pool, told(NOW))
    rates = (
        "SELECT sum(sent)::int, sum(failed)::int, sum(opened)::int FROM analytics_rates_hourly WHERE provider = 'fcm'"
    )
    assert await desk.rows(rates) == [(9, 1, 4)]
    why = "SELECT status, reason, count FROM analytics_reasons_hourly ORDER BY 1"
    assert ("suppressed", "opted_out", 1) in await desk.rows(why)
    for view in ("analytics_outcomes_hourly", "analytics_rates_hourly", "analytics_reasons_hourly"):
        plan = "\n".join(line for (line,) in await desk.rows(f"EXPLAIN SELECT * FROM {view}"))  # noqa: S608
        assert "status_events" not in plan
        assert "history" not in plan
