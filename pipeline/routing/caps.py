"""One user's dispatched notifications, as far as frequency caps cover them. Pure: the caller stores the bytes.

A cap "n per window" lets at most n notifications pass in any half-open span of that length. To tell whether one more
may pass at an instant, the last n dispatched suffice: it may when the oldest of them is a whole window ago. So no
scope ever holds more than n entries.
"""

import struct
from bisect import insort
from typing import NamedTuple

_FORMAT = b"\x01"
_ENTRY = struct.Struct("<8sQI16s")


class _Entry(NamedTuple):
    at: int
    window: int
    notification: bytes

    @property
    def ends(self) -> int:
        return self.at + self.window * 1000


class CapHistory:
    """What was dispatched to one user, for each scope that a cap counts. Times are milliseconds, windows seconds.

    Bytes of an unknown format unpack to an empty history: a cache that cannot be read must not stop the line.
    """

    __slots__ = ("_scopes", "changed")

    def __init__(self) -> None:
        self._scopes: dict[bytes, list[_Entry]] = {}
        self.changed = False
        """Whether `count` added anything since the history was unpacked: then it must be written back."""

    @classmethod
    def unpack(cls, raw: bytes | None) -> "CapHistory":
        history = cls()
        if raw and raw[:1] == _FORMAT and len(raw) % _ENTRY.size == 1:
            for scope, at, window, notification in _ENTRY.iter_unpack(raw[1:]):
                history._scopes.setdefault(scope, []).append(_Entry(at, window, notification))
        return history

    def pack(self) -> bytes:
        """The entries that can still matter, ready for `unpack`; empty where there is none."""
        now = max((entries[-1].at for entries in self._scopes.values()), default=0)
        packed = [
            _ENTRY.pack(scope, entry.at, entry.window, entry.notification)
            for scope, entries in self._scopes.items()
            for entry in entries
            if entry.ends > now
        ]
        return _FORMAT + b"".join(packed) if packed else b""

    def expires_in(self, now: int) -> int:
        """Milliseconds from `now` after which no entry matters any more; 0: none matters now."""
        return max((0, *(entry.ends - now for entries in self._scopes.values() for entry in entries)))

    def free_at(self, scope: bytes, limit: int, window: int, notification: bytes, now: int) -> int:
        """The first instant from `now` on at which `notification` may pass; `now` itself where it was counted."""
        entries = self._scopes.get(scope)
        if entries is None or len(entries) < limit or _counted(entries, notification, now):
            return now
        return max(now, entries[-limit].at + window * 1000)

    def used(self, scope: bytes, window: int, notification: bytes, now: int) -> int:
        """How many other dispatches count in the window that ends at `now`; of those that are kept, see the module."""
        since = now - window * 1000
        return sum(entry.at > since and entry.notification != notification for entry in self._scopes.get(scope, ()))

    def count(self, scope: bytes, limit: int, window: int, notification: bytes, at: int) -> None:
        """Count `notification` as dispatched at `at`; once only, however often it is routed within the window."""
        entries = self._scopes.setdefault(scope, [])
        if _counted(entries, notification, at):
            return
        insort(entries, _Entry(at, window, notification))
        del entries[:-limit]
        self.changed = True


def _counted(entries: list[_Entry], notification: bytes, now: int) -> bool:
    for entry in entries:  # noqa: SIM110 - a generator costs more than the few entries there are
        if entry.notification == notification and entry.ends > now:
            return True
    return False
