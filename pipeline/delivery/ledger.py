"""Who may send a notification, and what came of it: compare-and-set states in Redis, so that no crash sends twice.

absent → leased → sending → done → accounted. `sending` outlives its holder: once the holder's time is up it is *in
doubt* (the provider may have accepted it) until a policy decides. `done` holds the outcome, so that whoever is handed
the record again writes the very same status; `accounted` says that this status is in Kafka.
(``docs/decisions/0006-ledger.md``; ``storage/lua/ledger_*.lua``)
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from enum import IntEnum, StrEnum
from typing import NamedTuple, TypeVar, cast

from redis.asyncio import Redis

from pipeline.observability.health import Health
from pipeline.observability.patience import until_available
from pipeline.storage.keys import hash_tag
from pipeline.storage.redis import REDIS_AWAY, Coalescer
from pipeline.storage.scripts import lua
from pipeline.storage.slots import Call, SlotScript

logger = logging.getLogger(__name__)

TOKEN_LENGTH = 16
ACCOUNTING_DELAY = 0.02
"""Seconds for which `accounted` marks are collected: one that a crash swallows costs one repeated status record."""

RESTORED_AT_ONCE = 500

T = TypeVar("T")


class State(StrEnum):
    """What an entry is, as the scripts spell it."""

    LEASED = "L"
    SENDING = "S"
    IN_DOUBT = "X"
    DONE = "D"
    ACCOUNTED_WAITING = "W"
    ACCOUNTED = "A"


class Found(NamedTuple):
    """What a lease found. `body` is the entry's, empty where nothing was known; `busy_for` is set for `SENDING`, s."""

    state: State
    cancelled: bool
    body: bytes
    busy_for: float


class Move(IntEnum):
    """What became of a compare-and-set."""

    REFUSED = 0
    MADE = 1
    CANCELLED = 2


class EntryKeys(NamedTuple):
    """The Redis keys of one notification; the hash tag keeps all of a user's keys in one cluster slot."""

    entry: str
    cancel: str


def entry_keys(recipient_id: str, notification_id: str, idempotency_key: str) -> EntryKeys:
    tag = hash_tag(recipient_id)
    return EntryKeys(f"n:{tag}:{notification_id}", f"cancel:{tag}:{idempotency_key}")


class Ledger:
    """The ledger as one worker sees it. `token` is its own and of 16 characters; `retention` and `lease` in seconds.

    No call fails because Redis is away: it waits. All moves of one moment become one script call. Each move has a serial:
    one that was given up unanswered, and that the server carries out late, must not undo a later one.
    """

    def __init__(self, redis: Redis, health: Health, *, token: str, retention: float, lease: float) -> None:
        assert len(token) == TOKEN_LENGTH
        self._lease_script = SlotScript(redis, lua("ledger_lease"))
        self._restore_script = SlotScript(redis, lua("ledger_restore"))
        self._move_script = SlotScript(redis, lua("ledger_move"))
        self._health = health
        self._token = token
        self._retention = max(1, int(retention * 1000))
        self._lease = max(1, int(lease * 1000))
        self._serials = itertools.count(1)
        self._moves: Coalescer[Call, int] = Coalescer(self._make_moves)
        self._away = asyncio.Lock()
        self._closing: set[str] = set()
        self._accounting: list[Call] = []
        self._accounting_task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """Moves that Redis has not answered."""
        return len(self._moves) + len(self._accounting)

    async def lease(self, notifications: Sequence[EntryKeys]) -> list[Found]:
        """What each is now; those that nobody is sending are ours afterwards. One script call."""
        calls = [Call(entry) for entry in notifications]
        common = (self._token, self._serial(), self._retention)
        answers = await self._patiently(lambda: self._lease_script.ask(calls, common))
        return [_found(cast("bytes", answer)) for answer in answers]

    async def start(self, keys: EntryKeys, found: State, body: bytes) -> Move:
        """To `sending`, from what `lease` found: the provider may be called only after `Move.MADE`."""
        return Move(await self._moves.call(self._step(keys, _START[found], body)))

    async def release(self, keys: EntryKeys, body: bytes) -> bool:
        """From our `sending` back to `leased`: it was certainly not accepted, or the policy goes on in spite of doubt."""
        return bool(await self._moves.call(self._step(keys[:1], b"S  L", body)))

    async def close(self, keys: EntryKeys, found: State, body: bytes) -> bool:
        """To `done`, from our `sending` or from what `lease` found."""
        closed = bool(await self._moves.call(self._step(keys[:1], _CLOSE[found], body)))
        if closed:
            self._closing.add(keys.entry)
        return closed

    def is_closing(self, keys: EntryKeys) -> bool:
        """Whether we closed it ourselves and its status is on its way: who finds it `done` need not write it again."""
        return keys.entry in self._closing

    def account(self, keys: EntryKeys, waiting: bytes | None) -> None:
        """The status of what is done is acknowledged. `waiting` is the body to keep for a next round. Does not wait."""
        self._accounting.append(self._step(keys[:1], b"D  A" if waiting is None else b"D  W", waiting or b""))
        if self._accounting_task is None or self._accounting_task.done():
            self._accounting_task = asyncio.get_running_loop().create_task(self._account_soon())

    async def restore(self, entries: Sequence[tuple[str, bytes]]) -> None:
        """Write back what Redis lacks: for each entry its key, and its state and body. What is there stays as it is.

        The serial of what is restored is the lowest: a move that was waiting for Redis all the while must not be late.
        """
        common = (self._token, self._retention, self._lease)
        for start in range(0, len(entries), RESTORED_AT_ONCE):
            some = [Call((key,), (entry,)) for key, entry in entries[start : start + RESTORED_AT_ONCE]]
            await self._patiently(lambda some=some: self._restore_script.tell(some, common))  # type: ignore[misc]

    async def note(self, entries: Sequence[tuple[EntryKeys, bytes]]) -> None:
        """Mark what we have leased with the state and body that it has for certain."""
        await self._make_moves([self._step(keys[:1], b"L  " + entry[:1], entry[1:]) for keys, entry in entries])

    async def flush(self) -> None:
        """Wait until what was accounted is written."""
        while self._accounting_task and not self._accounting_task.done():
            await self._accounting_task

    async def _account_soon(self) -> None:
        while self._accounting:
            await asyncio.sleep(ACCOUNTING_DELAY)
            steps, self._accounting = self._accounting, []
            await self._make_moves(steps)
            self._closing.difference_update(step.keys[0] for step in steps)

    def _serial(self) -> bytes:
        return b"%010x" % next(self._serials)

    def _step(self, keys: tuple[str, ...], move: bytes, body: bytes) -> Call:
        return Call(keys, (move + self._serial() + body,))

    async def _make_moves(self, steps: list[Call]) -> list[int]:
        common = (self._token, self._retention, self._lease)
        return cast("list[int]", await self._patiently(lambda: self._move_script.ask(steps, common)))

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Wait out an absence. Of all who miss Redis one asks for it again; the scripts bear being called twice."""
        try:
            return await call()
        except REDIS_AWAY as error:
            logger.debug("redis: %s", type(error).__name__)
        async with self._away:
            return await until_available("redis", call, away=REDIS_AWAY, health=self._health)


_STATES = {ord(state): state for state in State}
_SET = ord("1")
_FROM = {State.LEASED: b"L", State.IN_DOUBT: b"X", State.DONE: b"DW", State.ACCOUNTED_WAITING: b"DW"}
_START = {state: found.ljust(3) + b"S" for state, found in _FROM.items()}
_CLOSE = {state: (b"S" + found).ljust(3) + b"D" for state, found in _FROM.items()}


def _found(answer: bytes) -> Found:
    state, cancelled, body = _STATES[answer[0]], answer[1] == _SET, answer[2:]
    if state is State.SENDING:
        return Found(state, cancelled, b"", int(body) / 1000)
    return Found(state, cancelled, body, 0.0)
