"""The audit trail: what people did by hand, to what, when and why. Append-only, and each entry seals the one before.

An entry's hash covers all that it says and the hash of the entry before it, so that no entry can be changed or taken
from the middle unseen; the head, a row of its own, says which entry is the last, so that none is missing at the end.
Whoever can write to the database could make the whole chain anew: against that, note a head elsewhere (every entry is
logged with its hash) and give it to `verify` (``docs/decisions/0036-audit-trail-is-a-hash-chain.md``).
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Self

import asyncpg
import msgspec

from pipeline.storage.postgres import Connection, Pool, reachable
from pipeline.storage.scripts import sql

logger = logging.getLogger(__name__)

NO_HASH = bytes(32)
"""What stands before the first entry."""

Detail = str | int | float | bool | Sequence[str] | Mapping[str, int] | None
Details = Mapping[str, Detail]


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `seq` counts from 1 without a gap, `details` is a JSON object as text, the hashes are SHA-256."""

    seq: int
    at: datetime
    who: str
    action: str
    target: str
    why: str
    details: str
    previous_hash: bytes
    hash: bytes = b""

    def seal(self) -> bytes:
        """The hash that this entry must have."""
        said = [
            self.seq,
            self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            self.who,
            self.action,
            self.target,
            self.why,
            self.details,
            self.previous_hash.hex(),
        ]
        return hashlib.sha256(json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()).digest()

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        return cls(**dict(row))


class Head(msgspec.Struct, frozen=True):
    """The last entry's number and hash; ``7:ab12…`` as text."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `ValueError` where it is no head."""
        seq, _, digest = text.partition(":")
        return cls(int(seq), bytes.fromhex(digest))


class Verdict(msgspec.Struct, frozen=True):
    """What `AuditTrail.verify` found: how many entries are sound, the head, and the first thing that is wrong, if any."""

    entries: int
    head: str
    problem: str = ""


class AuditTrail:
    """Adds to and reads the trail. All methods raise `Unavailable` where PostgreSQL is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(
        self, *, who: str, action: str, target: str, why: str, details: Details | None = None, at: datetime
    ) -> AuditEntry:
        """Add one entry; when it returns, the entry is durable. Writers take turns.

        `action` is ``thing.verb`` (``dlq.drop``), `target` what it was done to, `details` what else matters: ids and
        counts, never content, addresses or secrets.
        """
        text = json.dumps(details or {}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        with reachable():
            async with self._pool.acquire() as connection, connection.transaction():
                entry = await _append(connection, who, action, target, why, text, at)
        logger.info("audit entry %s: %s by %s", Head(entry.seq, entry.hash), action, who)
        return entry

    async def last(
        self, limit: int, *, action: str | None = None, who: str | None = None, since: datetime | None = None
    ) -> list[AuditEntry]:
        """The last `limit` entries, the newest first; ``dlq`` as `action` means all of ``dlq.…``."""
        with reachable():
            return [AuditEntry.of(row) for row in await self._pool.fetch(sql("audit_last"), action, who, since, limit)]

    async def verify(self, noted: Head | None = None) -> Verdict:
        """Look at every entry, in order. `noted`: a head from earlier times, which the trail must still contain."""
        with reachable():
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                row = await connection.fetchrow(sql("audit_head"))
                return await _verify(connection, Head(*row) if row else Head(0, NO_HASH), noted)


async def _append(
    connection: Connection, who: str, action: str, target: str, why: str, details: str, at: datetime
) -> AuditEntry:
    head = await connection.fetchrow(sql("audit_lock_head"))
    assert head is not None, "the migration makes the head"
    entry = AuditEntry(
        seq=head["seq"] + 1,
        at=at.astimezone(UTC),
        who=who,
        action=action,
        target=target,
        why=why,
        details=details,
        previous_hash=head["hash"],
    )
    entry = msgspec.structs.replace(entry, hash=entry.seal())
    await connection.execute(sql("audit_add"), *msgspec.structs.astuple(entry))
    return entry


async def _verify(connection: Connection, head: Head, noted: Head | None) -> Verdict:
    last = Head(0, NO_HASH)
    async for row in connection.cursor(sql("audit_entries"), 0, prefetch=500):
        entry = AuditEntry.of(row)
        if problem := _problem(entry, last, noted):
            return Verdict(last.seq, str(head), problem)
        last = Head(entry.seq, entry.hash)
    if last != head:
        return Verdict(last.seq, str(head), f"the trail ends at entry {last.seq}, and entry {head.seq} was written")
    if noted and noted.seq > last.seq:
        return Verdict(last.seq, str(head), f"the trail ends at entry {last.seq}, and you noted entry {noted.seq}")
    return Verdict(last.seq, str(head))


def _problem(entry: AuditEntry, before: Head, noted: Head | None) -> str:
    if entry.seq != before.seq + 1:
        return f"entry {before.seq + 1} is missing"
    if entry.previous_hash != before.hash:
        return f"entry {entry.seq} does not follow entry {before.seq}: one of them was replaced"
    if entry.hash != entry.seal():
        return f"entry {entry.seq} was changed"
    if noted and noted.seq == entry.seq and noted.hash != entry.hash:
        return f"entry {entry.seq} is not the one that you noted: the trail was made anew"
    return ""
