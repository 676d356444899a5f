"""The port to the audit log: every change that somebody makes to the keys or to another person's data."""

import logging
import time
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from pipeline.errors import Unavailable
from pipeline.gateway.access import Service
from pipeline.gateway.routes import Call
from pipeline.storage.audit import AuditTrail, Detail, Details
from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql

logger = logging.getLogger(__name__)


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to what. `details` name fields, never addresses, secrets or content. `at` in ms."""

    actor: str
    action: str
    subject: str
    at: int
    request_id: str = ""
    details: Details = {}


class AuditLog(Protocol):
    """Where entries are kept."""

    async def record(self, entry: AuditEntry) -> None:
        """Keep the entry for good.

        Raises:
            Unavailable: it cannot be kept now; the change it tells of has been made.
        """


class TrailedAudit:
    """Keeps entries on the audit trail, beside those of all other commands."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._trail = AuditTrail(pool)

    async def record(self, entry: AuditEntry) -> None:
        """See `AuditLog.record`."""
        await self._trail.record(
            who=entry.actor,
            action=entry.action,
            target=await self._target(entry.subject),
            why="",
            details={**entry.details, "request_id": entry.request_id} if entry.request_id else entry.details,
            at=datetime.fromtimestamp(entry.at / 1000, UTC),
        )

    async def _target(self, subject: str) -> str:
        """A user's id goes in as its salted hash: what is on the trail cannot be erased."""
        kind, _, user_id = subject.partition(":")
        if kind != "user":
            return subject
        with reachable():
            return f"user:{await self._pool.fetchval(sql('hash_users'), [user_id])}"


def open_audit(pool: Pool) -> AuditLog:
    """The audit log of gateways and of ``pipeline keys``."""
    return TrailedAudit(pool)


class Auditor:
    """Records what services change about people. What people change about themselves is no administration."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def note(self, call: Call, action: str, user_id: str, **details: Detail) -> None:
        """Record a change that was made. An audit log that is away is an error in the log: the change stands."""
        if not isinstance(call.caller, Service):
            return
        entry = AuditEntry(
            actor=call.actor,
            action=action,
            subject=f"user:{user_id}",
            at=time.time_ns() // 1_000_000,
            request_id=call.request_id,
            details=details,
        )
        try:
            await self._log.record(entry)
        except Unavailable:
            logger.exception(
                "a change is not in the audit log", extra={"action": action, "request_id": call.request_id}
            )
