"""What the router remembers, in Redis: one read and one write for each chunk.

Every key carries the recipient's id as its hash tag, so that all that belongs to a user lies in one slot of a cluster.
A partition has one router and a user one partition, so nobody else moves these values in between.
"""

from collections.abc import Iterable, Sequence
from typing import cast

from redis.asyncio import Redis

from pipeline.config import RouterSettings
from pipeline.routing.caps import CapHistory
from pipeline.routing.claims import decode_claim, encode_claim
from pipeline.routing.plan import Incoming, Known, Planner
from pipeline.storage.scripts import lua
from pipeline.users.directory import UserDirectory
from pipeline.users.snapshot import UserSnapshot


def caps_key(user_id: str) -> str:
    return f"caps:{{{user_id}}}"


def claim_key(user_id: str, idempotency_key: str) -> str:
    return f"claim:{{{user_id}}}:{idempotency_key}"


def round_key(user_id: str, idempotency_key: str, round_: str) -> str:
    """`round_` never holds the colon before itself, so that no two keys meet."""
    return f"round:{{{user_id}}}:{round_}:{idempotency_key}"


def cancel_key(user_id: str, idempotency_key: str) -> str:
    """Set when a cancel was accepted; delivery workers look at it before they send."""
    return f"cancel:{{{user_id}}}:{idempotency_key}"


class RouterState:
    """Reads and writes what deciding a chunk needs."""

    def __init__(self, redis: Redis, directory: UserDirectory, settings: RouterSettings) -> None:
        self._redis = redis
        self._directory = directory
        self._retention_ms = int(settings.idempotency_retention * 1000)
        self._put = redis.register_script(lua("router_put"))

    async def read(self, chunk: Sequence[Incoming]) -> Known:
        """Users, counters and claims for a chunk: one MGET, and one query for the users it does not hold."""
        user_ids = list(dict.fromkeys(i.event.recipient_id for i in chunk))
        claim_ids = list(dict.fromkeys(i.claim_key for i in chunk))
        keys = [self._directory.snapshot_key(u) for u in user_ids]
        keys += [caps_key(u) for u in user_ids]
        keys += [claim_key(u, k) for u, k in claim_ids]
        rounds = list(dict.fromkeys(i.round_key for i in chunk if i.round))
        keys += [round_key(*r) for r in rounds]
        values = cast("list[bytes | None]", await self._redis.mget(keys))  # the client answers bytes
        n, m = len(user_ids), 2 * len(user_ids) + len(claim_ids)
        return Known(
            users=await self._users(user_ids, values[:n]),
            histories={u: CapHistory.unpack(raw) for u, raw in zip(user_ids, values[n : 2 * n], strict=True)},
            claims={c: decode_claim(raw) for c, raw in zip(claim_ids, values[2 * n : m], strict=True)},
            rounds={r: decode_claim(raw) for r, raw in zip(rounds, values[m:], strict=True)},
        )

    async def _users(self, user_ids: list[str], cached: list[bytes | None]) -> dict[str, UserSnapshot]:
        users: dict[str, UserSnapshot] = {}
        missing: list[str] = []
        for user_id, raw in zip(user_ids, cached, strict=True):
            snapshot = self._directory.decode(raw) if raw is not None else None
            if snapshot is None:
                missing.append(user_id)
            else:
                users[user_id] = snapshot
        if missing:
            users.update(await self._directory.load(missing))
        return users

    async def write(self, planner: Planner, known: Known, now: int) -> None:
        """Claims, cancels and changed counters, each with its time to live, in one script call."""
        entries = [*self._claims(planner), *self._cancels(planner), *self._histories(known, now)]
        if entries:
            arguments: list[bytes | int] = []
            for _, value, ttl in entries:
                arguments += (value, ttl)
            await self._put(keys=[key for key, _, _ in entries], args=arguments)

    def _claims(self, planner: Planner) -> Iterable[tuple[str, bytes, int]]:
        for (user_id, key), claim in planner.claims.items():
            yield claim_key(user_id, key), encode_claim(claim), self._retention_ms
        for round_, claim in planner.rounds.items():
            yield round_key(*round_), encode_claim(claim), self._retention_ms

    def _cancels(self, planner: Planner) -> Iterable[tuple[str, bytes, int]]:
        for user_id, key in planner.cancels:
            yield cancel_key(user_id, key), b"1", self._retention_ms

    def _histories(self, known: Known, now: int) -> Iterable[tuple[str, bytes, int]]:
        for user_id, history in known.histories.items():
            if history.changed:
                yield caps_key(user_id), history.pack(), max(1, history.expires_in(now))
