"""What the router remembers, in Redis: one read and one write for each chunk.

Every key carries the recipient's id as its hash tag, so that all that belongs to a user lies in one slot of a cluster.
A partition has one router and a user one partition, so nobody else moves these values in between. What was written
lately is remembered beside it: should Redis be emptied, an event that is produced a second time is still a duplicate.
"""

import time
from collections.abc import Callable, Iterable, Sequence

from redis.asyncio import Redis

from pipeline.config import RouterSettings
from pipeline.routing.caps import CapHistory
from pipeline.routing.claims import decode_claim, encode_claim
from pipeline.routing.incoming import Incoming, Known
from pipeline.routing.plan import Planner
from pipeline.routing.recent import Recent
from pipeline.storage.keys import hash_tag
from pipeline.storage.scripts import lua
from pipeline.storage.slots import Call, SlotScript, get_many
from pipeline.users.lookup import Lookup

Value = tuple[str, bytes, int]
"""Key, bytes, and the milliseconds for which they are kept."""


def caps_key(user_id: str) -> str:
    return f"caps:{hash_tag(user_id)}"


def claim_key(user_id: str, idempotency_key: str) -> str:
    return f"claim:{hash_tag(user_id)}:{idempotency_key}"


def round_key(user_id: str, idempotency_key: str, round_: str) -> str:
    """`round_` never holds the colon before itself, so that no two keys meet."""
    return f"round:{hash_tag(user_id)}:{round_}:{idempotency_key}"


def cancel_key(user_id: str, idempotency_key: str) -> str:
    """Set when a cancel was accepted; delivery workers look at it before they send."""
    return f"cancel:{hash_tag(user_id)}:{idempotency_key}"


class RouterState:
    """Reads and writes what deciding a chunk needs."""

    def __init__(
        self, redis: Redis, lookup: Lookup, settings: RouterSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis
        self._lookup = lookup
        self._retention_ms = int(settings.idempotency_retention * 1000)
        self._put = SlotScript(redis, lua("router_put"))
        self._recent = Recent(clock)

    async def read(self, chunk: Sequence[Incoming]) -> Known:
        """Counters and claims for a chunk, and the users who can be found now: one MGET, and one query for the others."""
        user_ids = list(dict.fromkeys(i.event.recipient_id for i in chunk))
        claim_ids = list(dict.fromkeys(i.claim_key for i in chunk))
        keys = [self._lookup.directory.snapshot_key(u) for u in user_ids]
        keys += [caps_key(u) for u in user_ids]
        keys += [claim_key(u, k) for u, k in claim_ids]
        rounds = list(dict.fromkeys(i.round_key for i in chunk if i.round))
        keys += [round_key(*r) for r in rounds]
        values = await get_many(self._redis, keys)
        n, m = len(user_ids), 2 * len(user_ids) + len(claim_ids)
        found = await self._lookup.complete(self._lookup.directory.read(user_ids, values[:n]), user_ids)
        values[n:] = map(self._recent.either, keys[n:], values[n:])
        return Known(
            users=found.known,
            stale=found.stale,
            histories={u: CapHistory.unpack(raw) for u, raw in zip(user_ids, values[n : 2 * n], strict=True)},
            claims={c: decode_claim(raw) for c, raw in zip(claim_ids, values[2 * n : m], strict=True)},
            rounds={r: decode_claim(raw) for r, raw in zip(rounds, values[m:], strict=True)},
        )

    @property
    def users_away(self) -> bool:
        """Whether users who are not cached cannot be found now, and need not be asked for."""
        return self._lookup.away

    async def write(self, planner: Planner, known: Known, now: int) -> None:
        """Claims, cancels and changed counters, each with its time to live, in one script call."""
        values = [*self._claims(planner), *self._histories(known, now)]
        for key, raw, ttl in values:
            self._recent.put(key, raw, ttl)
        values += [(cancel_key(*cancel), b"1", self._retention_ms) for cancel in planner.cancels]
        if values:
            await self._put.tell([Call((key,), (raw, ttl)) for key, raw, ttl in values])

    def _claims(self, planner: Planner) -> Iterable[Value]:
        for claim, stored in planner.claims.items():
            yield claim_key(*claim), encode_claim(stored), self._retention_ms
        for round_, stored in planner.rounds.items():
            yield round_key(*round_), encode_claim(stored), self._retention_ms

    def _histories(self, known: Known, now: int) -> Iterable[Value]:
        for user_id, history in known.histories.items():
            if history.changed:
                yield caps_key(user_id), history.pack(), max(1, history.expires_in(now))
