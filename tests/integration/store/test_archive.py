"""Old days go to files and come back, whole; and an archiver that dies anywhere neither loses nor doubles."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import boto3  # type: ignore[import-untyped]
import duckdb
import pytest
from pydantic import SecretStr

from pipeline.config import ArchiveSettings
from pipeline.embedded.servers import free_port
from pipeline.errors import ConfigurationError, Unavailable
from pipeline.events.records import DeliveryStatus
from pipeline.events.vocabulary import Status
from pipeline.store.archive import Archive, Done
from pipeline.store.cold import SHAPES, ColdStore
from tests.integration.store.conftest import DAY, NOW, Desk, fill, status

OLD = NOW - 100 * DAY
DAY_OLD = datetime.fromtimestamp(OLD / 1000, UTC).date()
BEFORE = DAY_OLD + timedelta(days=1)
STEPS = ("note exporting", "write", "verify", "write manifest", "note verified", "drop")


class Killed(Exception):
    pass


class KillAt:
    """Raises when `step` is reached, as a kill would end it there."""

    def __init__(self, step: str) -> None:
        self.step = step

    def __call__(self, step: str) -> None:
        if step == self.step:
            raise Killed(step)


def old(count: int = 300, first: int = 0) -> list[DeliveryStatus]:
    told = []
    for n in range(first, first + count):
        recipient = f"u{n % 20}"
        told.append(status(f"k{n}", at=OLD + n, created_at=OLD, recipient_id=recipient))
        if n % 3 == 0:
            told.append(status(f"k{n}", Status.OPENED, OLD + 900, created_at=OLD, recipient_id=recipient))
    return told


def archive(desk: Desk, cold: ArchiveSettings, step: str = "") -> Archive:
    return Archive(desk.settings.postgres.dsn.get_secret_value(), cold, KillAt(step))


@pytest.fixture
def cold(tmp_path: Path) -> ArchiveSettings:
    return ArchiveSettings(url=f"file://{tmp_path}/archive")


def archive_on(desk: Desk, cold: ArchiveSettings) -> list[Done]:
    """After one that died: its lock is free as soon as the server has noticed."""
    deadline = time.monotonic() + 10
    while not (done := list(archive(desk, cold).run(BEFORE))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return done


def in_files(cold: ArchiveSettings, dataset: str) -> int:
    pattern = cold.url.removeprefix("file://") + f"/{dataset}/*/rows.parquet"
    try:
        (found,) = duckdb.execute(f"SELECT count(*) FROM read_parquet('{pattern}')").fetchall()  # noqa: S608
    except duckdb.IOException:
        return 0
    return int(found[0])


def remove_files(cold: ArchiveSettings) -> None:
    for path in Path(cold.url.removeprefix("file://")).rglob("rows.parquet"):
        path.unlink()


async def in_postgres(desk: Desk, dataset: str) -> int:
    return await desk.number(f"SELECT count(*) FROM {dataset}")  # noqa: S608


async def test_an_old_day_is_in_the_archive_and_no_longer_in_postgresql(desk: Desk, cold: ArchiveSettings) -> None:
    await fill(desk.pool, [*old(), status("young")])
    done = list(archive(desk, cold).run(BEFORE))
    assert {(d.dataset, d.day, d.rows) for d in done} == {("status_events", DAY_OLD, 400), ("history", DAY_OLD, 300)}
    assert (in_files(cold, "status_events"), in_files(cold, "history")) == (400, 300)
    assert (await in_postgres(desk, "status_events"), await in_postgres(desk, "history")) == (1, 1)
    assert list(archive(desk, cold).run(BEFORE)) == []


async def test_a_restored_day_is_what_it_was(desk: Desk, cold: ArchiveSettings) -> None:
    await fill(desk.pool, old())
    before = {d: await desk.rows(f"SELECT * FROM {d}") for d in SHAPES}  # noqa: S608
    list(archive(desk, cold).run(BEFORE))
    for dataset, rows in before.items():
        table, count = archive(desk, cold).restore(dataset, DAY_OLD)
        assert archive(desk, cold).restore(dataset, DAY_OLD) == (table, count)
        restored = await desk.rows(f"SELECT * FROM {table}")  # noqa: S608
        assert sorted(restored, key=str) == sorted(rows, key=str)


@pytest.mark.parametrize("step", STEPS)
async def test_one_that_dies_before_a_step_leaves_all_rows_and_the_next_goes_on(
    desk: Desk, cold: ArchiveSettings, step: str
) -> None:
    await fill(desk.pool, old())
    with pytest.raises(Killed):
        list(archive(desk, cold, step).run(BEFORE))
    for dataset, rows in (("status_events", 400), ("history", 300)):
        assert await in_postgres(desk, dataset) in {0, rows}
        assert await in_postgres(desk, dataset) or in_files(cold, dataset) == rows
    archive_on(desk, cold)
    assert (in_files(cold, "status_events"), in_files(cold, "history")) == (400, 300)
    assert (await in_postgres(desk, "status_events"), await in_postgres(desk, "history")) == (0, 0)


async def test_rows_that_come_between_verification_and_drop_keep_the_partition(
    desk: Desk, cold: ArchiveSettings
) -> None:
    await fill(desk.pool, old())
    with pytest.raises(Killed):
        list(archive(desk, cold, "drop").run(BEFORE))
    await fill(desk.pool, old(10, first=300))
    assert [done.dataset for done in archive_on(desk, cold)] == ["status_events"]
    assert await in_postgres(desk, "history") == 310
    list(archive(desk, cold).run(BEFORE))
    assert (in_files(cold, "status_events"), in_files(cold, "history")) == (414, 310)


@pytest.mark.parametrize("step", ["", "reload", *STEPS])
async def test_what_comes_late_for_an_archived_day_joins_it_and_repeats_do_not(
    desk: Desk, cold: ArchiveSettings, step: str
) -> None:
    await fill(desk.pool, old())
    list(archive(desk, cold).run(BEFORE))
    late = [*old(30, first=290), status("k1", Status.READ, OLD + 2_000, created_at=OLD, recipient_id="u1")]
    await fill(desk.pool, late)
    try:
        list(archive(desk, cold, step).run(BEFORE))
    except Killed:
        archive_on(desk, cold)
    assert (in_files(cold, "status_events"), in_files(cold, "history")) == (428, 320)
    assert (await in_postgres(desk, "status_events"), await in_postgres(desk, "history")) == (0, 0)
    table, _ = archive(desk, cold).restore("history", DAY_OLD)
    (known,) = await desk.rows(f"SELECT status, sent_at IS NOT NULL FROM {table} WHERE event_id = 'evt-k1'")  # noqa: S608
    assert known == (Status.READ, True)


async def test_a_file_damaged_after_verification_is_written_again_before_the_drop(
    desk: Desk, cold: ArchiveSettings
) -> None:
    await fill(desk.pool, old())
    with pytest.raises(Killed):
        list(archive(desk, cold, "drop").run(BEFORE))
    remove_files(cold)
    archive_on(desk, cold)
    assert in_files(cold, "status_events") == 400


async def test_a_storage_that_gives_back_less_than_was_written_keeps_the_partition(
    desk: Desk, cold: ArchiveSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(desk.pool, old())
    whole = ColdStore.read

    def short(self: ColdStore, dataset: str, day: date) -> Iterator[list[tuple[object, ...]]]:
        for rows in whole(self, dataset, day):
            yield rows[:-1]

    monkeypatch.setattr(ColdStore, "read", short)
    with pytest.raises(Unavailable, match="does not give back"):
        list(archive(desk, cold).run(BEFORE))
    assert await in_postgres(desk, "status_events") == 400


async def test_a_damaged_archive_is_not_restored(desk: Desk, cold: ArchiveSettings) -> None:
    await fill(desk.pool, old())
    list(archive(desk, cold).run(BEFORE))
    store = ColdStore(cold)
    rows = [row for chunk in store.read("history", DAY_OLD) for row in chunk]
    store.write("history", DAY_OLD, [rows[:-1]])
    with pytest.raises(Unavailable, match="damaged"):
        archive(desk, cold).restore("history", DAY_OLD)
    with pytest.raises(ConfigurationError, match="there is no history of 2001-01-01"):
        archive(desk, cold).restore("history", date(2001, 1, 1))


def run_and_perhaps_kill(command: list[str], environment: dict[str, str], after: float | None) -> int:
    """The exit code; killed `after` so many seconds from its first day."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if after is not None:
            process.stdout.readline()
            time.sleep(after)
            process.kill()
        process.stdout.read()
    return process.returncode


async def test_archivers_killed_at_random_moments_neither_lose_nor_double(desk: Desk, cold: ArchiveSettings) -> None:
    """Real processes and kill -9, on ten days."""
    told = [status(f"k{n}", at=OLD + n % 10 * DAY, recipient_id=f"u{n}", created_at=OLD) for n in range(5_000)]
    await fill(desk.pool, told)
    rng = random.Random(5)
    until = (DAY_OLD + timedelta(days=11)).isoformat()
    environment = {
        "PATH": "/usr/bin:/bin",
        "PIPELINE_POSTGRES__DSN": desk.settings.postgres.dsn.get_secret_value(),
        "PIPELINE_STORE__ARCHIVE__URL": cold.url,
    }
    command = [sys.executable, "-m", "pipeline.cli", "store", "archive", "--before", until]
    kills = 0
    for _ in range(40):
        code = run_and_perhaps_kill(command, environment, rng.uniform(0, 0.05) if kills < 8 else None)
        kills += code == -signal.SIGKILL
        if code == 0 and kills >= 5:
            break
    assert kills >= 5
    assert (in_files(cold, "status_events"), in_files(cold, "history")) == (5_000, 5_000)
    assert (await in_postgres(desk, "status_events"), await in_postgres(desk, "history")) == (0, 0)


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[ArchiveSettings]:
    """A bucket on moto's S3."""
    port = free_port()
    with (tmp_path / "moto.log").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with subprocess.Popen(command, stdout=log, stderr=log) as process:
            settings = ArchiveSettings(
                url="s3://cold/notifications",
                endpoint=f"http://127.0.0.1:{port}",
                region="us-east-1",
                access_key=SecretStr("key"),
                secret_key=SecretStr("secret"),
            )
            client = boto3.client(
                "s3", endpoint_url=settings.endpoint, region_name="us-east-1",
                aws_access_key_id="key", aws_secret_access_key="secret",
            )  # fmt: skip
            _when_up(lambda: client.create_bucket(Bucket="cold"))
            yield settings
            process.terminate()


def _when_up(call: object) -> None:
    assert callable(call)
    for _ in range(100):
        try:
            call()
        except Exception:  # noqa: BLE001  # refused as long as it starts
            time.sleep(0.1)
        else:
            return
    raise AssertionError("moto does not start")


async def test_the_same_on_s3(desk: Desk, bucket: ArchiveSettings) -> None:
    await fill(desk.pool, old())
    with pytest.raises(Killed):
        list(archive(desk, bucket, "verify").run(BEFORE))
    archive_on(desk, bucket)
    assert await in_postgres(desk, "status_events") == 0
    assert archive(desk, bucket).restore("status_events", DAY_OLD)[1] == 400


def test_an_s3_that_is_away_says_so(desk: Desk) -> None:
    away = ArchiveSettings(
        url="s3://cold/x", endpoint=f"http://127.0.0.1:{free_port()}", region="us-east-1",
        access_key=SecretStr("a"), secret_key=SecretStr("b"),
    )  # fmt: skip
    with pytest.raises(Unavailable, match="the archive cannot be reached"):
        ColdStore(away).measure("history", DAY_OLD)
