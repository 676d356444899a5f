"""What one policy would have done with each user so far: in memory for those of late, on disk for the others."""

import sqlite3
from collections import OrderedDict
from collections.abc import Collection
from hashlib import blake2b

import msgspec

from pipeline.events.vocabulary import Kind
from pipeline.routing.caps import CapHistory
from pipeline.routing.ruling import Claim

# A nameless database lies on disk (TMPDIR) and vanishes with its connection; it needs no journal.
_SETUP = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA temp_store = FILE;
PRAGMA cache_size = -8192;
CREATE TABLE past (user_id TEXT PRIMARY KEY, packed BLOB) WITHOUT ROWID;
"""
_PUT = "INSERT OR REPLACE INTO past VALUES (?, ?)"
_GET = "SELECT user_id, packed FROM past WHERE user_id IN (SELECT value FROM json_each(?))"

_encode = msgspec.msgpack.Encoder().encode


class _Packed(msgspec.Struct, array_like=True):
    history: bytes
    claims: dict[int, tuple[int, bool, bool]]
    waiting: list[int]


_decoder = msgspec.msgpack.Decoder(_Packed)


class Past:
    """One user under one policy: what was dispatched, which keys were claimed, which notifications wait.

    The rules for keys are those of `pipeline.routing.claims`, without the records that made the claims. Times in ms.
    """

    __slots__ = ("_claims", "_waiting", "history")

    def __init__(self, packed: bytes | None = None) -> None:
        was = _decoder.decode(packed) if packed is not None else _Packed(b"", {}, [])
        self.history = CapHistory.unpack(was.history)
        self._claims = was.claims
        self._waiting = set(was.waiting)

    def pack(self, now: int, retention: int) -> bytes:
        claims = {key: claim for key, claim in self._claims.items() if claim[0] + retention > now}
        return _encode(_Packed(self.history.pack(), claims, list(self._waiting)))

    def claim(self, key: str, now: int, retention: int) -> Claim:
        at, requested, cancelled = self._claims.get(_short(key), (0, False, False))
        return Claim(duplicate=requested, cancelled=cancelled) if at + retention > now else Claim()

    def take(self, key: str, kind: Kind, claim: Claim, now: int) -> None:
        """An event with this key was decided on what `claim` says."""
        if kind is Kind.CANCEL:
            self._claims[_short(key)] = (now, claim.duplicate, True)
        elif not claim.duplicate:
            self._claims[_short(key)] = (now, True, claim.cancelled)

    def wait(self, notification: str) -> None:
        self._waiting.add(_short(notification))

    def waits(self, notification: str) -> bool:
        """Whether it waited until now; from now on it does not."""
        known = _short(notification) in self._waiting
        self._waiting.discard(_short(notification))
        return known


class Pasts:
    """The pasts of all users under one policy; `most` are kept in memory. Ask for a batch's users with `fetch` first."""

    def __init__(self, retention: int, most: int) -> None:
        self._retention = retention
        self._most = most
        self._recent: OrderedDict[str, Past] = OrderedDict()
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(_SETUP)
        self._spilled = False

    def __getitem__(self, user_id: str) -> Past:
        return self._recent[user_id]

    def fetch(self, user_ids: Collection[str], now: int) -> None:
        """Have these at hand, and put others away: those that were not asked for the longest."""
        missing = [user_id for user_id in user_ids if user_id not in self._recent]
        stored = self._stored(missing)
        for user_id in missing:
            self._recent[user_id] = Past(stored.get(user_id))
        for user_id in user_ids:
            self._recent.move_to_end(user_id)
        excess = len(self._recent) - max(self._most, len(user_ids))
        if excess > 0:
            self._put_away(excess, now)

    def close(self) -> None:
        self._database.close()

    def _stored(self, user_ids: list[str]) -> dict[str, bytes]:
        if not self._spilled or not user_ids:
            return {}
        return dict(self._database.execute(_GET, (msgspec.json.encode(user_ids).decode(),)).fetchall())

    def _put_away(self, excess: int, now: int) -> None:
        away = [self._recent.popitem(last=False) for _ in range(excess)]
        self._database.execute("BEGIN")
        self._database.executemany(_PUT, [(user_id, past.pack(now, self._retention)) for user_id, past in away])
        self._database.execute("COMMIT")
        self._spilled = True


def _short(text: str) -> int:
    """Eight bytes that stand for a key: two of a user's keys meet once in 10^13 users with a thousand each."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)
