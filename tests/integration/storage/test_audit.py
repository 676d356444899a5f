"""The audit trail on a real PostgreSQL: what was done by hand stays told, and who meddles with it is found out."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime

import asyncpg
import msgspec
import pytest

from pipeline.config import PostgresSettings
from pipeline.storage.audit import AuditEntry, AuditTrail, Head
from pipeline.storage.postgres import Pool, open_pool

WHEN = datetime(2026, 2, 23, 10, 0, 0, 123_456, tzinfo=UTC)
UNLOCK = "ALTER TABLE audit_trail DISABLE TRIGGER ALL"


@pytest.fixture
def trail(pool: Pool) -> AuditTrail:
    return AuditTrail(pool)


async def add(trail: AuditTrail, number: int, action: str = "dlq.drop") -> AuditEntry:
    return await trail.record(
        who="ann", action=action, target=f"letter {number}", why="a téléphone", details={"count": number}, at=WHEN
    )


async def test_what_was_recorded_is_told_as_it_was_and_the_trail_is_whole(trail: AuditTrail) -> None:
    entries = [await add(trail, number) for number in range(3)]
    assert await trail.last(10) == entries[::-1]
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert entries[0].at == WHEN
    verdict = await trail.verify()
    assert (verdict.entries, verdict.problem) == (3, "")
    assert verdict.head == str(Head(3, entries[2].hash))


async def test_the_list_can_be_narrowed_to_a_kind_of_action_and_a_person(trail: AuditTrail) -> None:
    await add(trail, 1)
    await add(trail, 2, "dlq.replay")
    await add(trail, 3, "users.erase")
    assert [entry.seq for entry in await trail.last(10, action="dlq")] == [2, 1]
    assert [entry.seq for entry in await trail.last(10, action="dlq.replay")] == [2]
    assert await trail.last(10, who="bob") == []
    assert await trail.last(10, since=datetime.now(UTC)) == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE audit_trail SET why = 'nothing' WHERE seq = 2", "entry 2 was changed"),
        ("UPDATE audit_trail SET who = 'bob' WHERE seq = 4", "entry 4 was changed"),
        ("UPDATE audit_trail SET at = at + interval '1 microsecond' WHERE seq = 1", "entry 1 was changed"),
        ("UPDATE audit_trail SET details = '{\"count\": 2}' WHERE seq = 2", "entry 2 was changed"),
        ("DELETE FROM audit_trail WHERE seq = 2", "entry 2 is missing"),
        ("DELETE FROM audit_trail WHERE seq = 1", "entry 1 is missing"),
        ("DELETE FROM audit_trail WHERE seq = 4", "the trail ends at entry 3, and entry 4 was written"),
        ("DELETE FROM audit_trail", "the trail ends at entry 0, and entry 4 was written"),
    ],
)
async def test_an_entry_that_was_changed_or_taken_away_is_found(
    trail: AuditTrail, pool: Pool, statement: str, found: str
) -> None:
    for number in range(1, 5):
        await add(trail, number)
    await pool.execute(UNLOCK)
    await pool.execute(statement)
    assert (await trail.verify()).problem == found


async def test_an_entry_sealed_anew_does_not_fit_the_next_one(trail: AuditTrail, pool: Pool) -> None:
    first = await add(trail, 1)
    await add(trail, 2)
    forged = msgspec.structs.replace(first, why="nothing")
    await pool.execute(UNLOCK)
    await pool.execute("UPDATE audit_trail SET why = $1, hash = $2 WHERE seq = 1", forged.why, forged.seal())
    assert (await trail.verify()).problem == "entry 2 does not follow entry 1: one of them was replaced"


async def test_a_trail_that_was_made_anew_lacks_the_head_that_somebody_noted(trail: AuditTrail, pool: Pool) -> None:
    noted = await add(trail, 1)
    await pool.execute(UNLOCK)
    await pool.execute("DELETE FROM audit_trail")
    await pool.execute("UPDATE audit_trail_head SET seq = 0, hash = decode(repeat('00', 32), 'hex')")
    await add(trail, 2)
    assert (await trail.verify()).problem == ""
    head = Head(noted.seq, noted.hash)
    assert (await trail.verify(head)).problem == "entry 1 is not the one that you noted: the trail was made anew"
    assert "you noted entry 7" in (await trail.verify(Head(7, noted.hash))).problem


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_trail SET why = ''", "DELETE FROM audit_trail", "TRUNCATE audit_trail"]
)
async def test_the_database_refuses_to_change_what_was_written(trail: AuditTrail, pool: Pool, statement: str) -> None:
    await add(trail, 1)
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await pool.execute(statement)


async def test_writers_at_the_same_time_make_one_chain(postgres_settings: PostgresSettings) -> None:
    async with await open_pool(postgres_settings) as one, await open_pool(postgres_settings) as other:
        trails = [AuditTrail(one), AuditTrail(other)]
        await asyncio.gather(*(add(trails[number % 2], number) for number in range(60)))
        verdict = await trails[0].verify()
    assert (verdict.entries, verdict.problem) == (60, "")


def pipeline(dsn: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    command = [sys.executable, "-m", "pipeline.cli", "audit", *arguments]
    environment = {**ours, "PIPELINE_POSTGRES__DSN": dsn}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


async def test_the_commands_say_by_their_exit_code_whether_the_trail_is_whole(
    trail: AuditTrail, pool: Pool, postgres_settings: PostgresSettings
) -> None:
    dsn = postgres_settings.dsn.get_secret_value()
    entry = await add(trail, 1)
    listed = await asyncio.to_thread(pipeline, dsn, "list", "--json")
    assert json.loads(listed.stdout)["details"] == {"count": 1}
    assert "“a téléphone”" in (await asyncio.to_thread(pipeline, dsn, "list")).stdout
    whole = await asyncio.to_thread(pipeline, dsn, "verify", "--contains", str(Head(1, entry.hash)))
    assert (whole.returncode, whole.stdout) == (0, f"whole: 1 entries, head 1:{entry.hash.hex()}\n")
    await pool.execute(UNLOCK)
    await pool.execute("UPDATE audit_trail SET why = ''")
    broken = await asyncio.to_thread(pipeline, dsn, "verify", "--json")
    assert broken.returncode == 1
    assert json.loads(broken.stdout)["problem"] == "entry 1 was changed"
    nonsense = await asyncio.to_thread(pipeline, dsn, "verify", "--contains", "yesterday")
    assert nonsense.returncode == 1
    assert "is no head" in nonsense.stderr
