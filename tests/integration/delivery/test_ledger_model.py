"""The ledger's real scripts on a real server, beside a model of them, and beside workers that use them.

Only the clock is not the server's: the scripts under test read it from a key (and are the shipped ones otherwise).
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from redis.asyncio import Redis

from pipeline.config import RedisSettings
from pipeline.delivery.ledger import EntryKeys, Found, Ledger, Move, State, entry_keys
from pipeline.observability.health import Health
from pipeline.storage.redis import open_redis
from pipeline.storage.scripts import lua
from pipeline.storage.slots import Answer, Argument, Call
from tests.models.ledger import LedgerModel

LEASE = 30_000
PROVIDER_TIMEOUT = 10_000
CLOCK = "test:now"
CLOCK_SCRIPT = (
    f"(function() local ms = tonumber(redis.call('GET', '{CLOCK}')) "
    "return {math.floor(ms / 1000), ms % 1000 * 1000} end)()"
)
WORKERS = [letter * 16 for letter in "abc"]
NOTES = [entry_keys(user, f"n{n}", f"k{n}") for n, user in enumerate(["ada", "ada", "bob"])]
BODIES = st.binary(max_size=3)
FOUND = st.sampled_from([State.LEASED, State.IN_DOUBT, State.DONE, State.ACCOUNTED_WAITING])

T = TypeVar("T")


def by_key_clock(name: str) -> str:
    text = lua(name)
    assert "redis.call('TIME')" in text
    return text.replace("redis.call('TIME')", CLOCK_SCRIPT)


class Server(RuleBasedStateMachine):
    """What both machines share: a server of its own time, one ledger for each worker, and a model."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.redis = self.do(self._open(url))
        self.model = LedgerModel(LEASE)
        self.serials = dict.fromkeys(WORKERS, 0)
        self.sent: list[tuple[Ledger, list[Call], list[Argument]]] = []
        with patch("pipeline.delivery.ledger.lua", by_key_clock):
            self.ledgers = {token: self.do(self._ledger(token)) for token in WORKERS}
        self.tell_time()

    def do(self, call: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await call

        return self.loop.run_until_complete(awaited())

    async def _open(self, url: str) -> Redis:
        redis = open_redis(RedisSettings(url=url))
        await redis.flushdb()
        return redis

    async def _ledger(self, token: str) -> Ledger:
        ledger = Ledger(self.redis, Health(), token=token, retention=3600, lease=LEASE / 1000)
        ask = ledger._move_script.ask

        async def recorded(calls: list[Call], common: list[Argument]) -> list[Answer]:
            self.sent.append((ledger, calls, common))
            return await ask(calls, common)

        ledger._move_script.ask = recorded  # type: ignore[method-assign, assignment]
        return ledger

    def serial(self, token: str) -> int:
        self.serials[token] += 1
        return self.serials[token]

    def tell_time(self) -> None:
        self.do(self.redis.set(CLOCK, self.model.now))

    def teardown(self) -> None:
        self.do(self.redis.aclose())
        self.loop.close()

    @rule(ms=st.sampled_from([1, PROVIDER_TIMEOUT, LEASE - 1, LEASE]))
    def time_passes(self, ms: int) -> None:
        self.model.now += ms
        self.tell_time()

    @rule()
    def redis_loses_everything(self) -> None:
        self.model.lose_everything()
        self.do(self.redis.flushdb())
        self.tell_time()


class Conformance(Server):
    """Any call at any time, by the protocol or not: the scripts do what the model does."""

    @rule(token=st.sampled_from(WORKERS), notes=st.lists(st.sampled_from(NOTES), min_size=1, unique=True))
    def lease(self, token: str, notes: list[EntryKeys]) -> None:
        serial = self.serial(token)
        expected = [self.model.lease(token, serial, *note) for note in notes]
        assert self.do(self.ledgers[token].lease(notes)) == expected

    @rule(token=st.sampled_from(WORKERS), note=st.sampled_from(NOTES), found=FOUND, body=BODIES)
    def start(self, token: str, note: EntryKeys, found: State, body: bytes) -> None:
        expected = self.model.start(token, self.serial(token), *note, found, body)
        assert self.do(self.ledgers[token].start(note, found, body)) is expected

    @rule(token=st.sampled_from(WORKERS), note=st.sampled_from(NOTES), body=BODIES)
    def release(self, token: str, note: EntryKeys, body: bytes) -> None:
        expected = self.model.release(token, self.serial(token), note.entry, body)
        assert self.do(self.ledgers[token].release(note, body)) is expected

    @rule(token=st.sampled_from(WORKERS), note=st.sampled_from(NOTES), found=FOUND, body=BODIES)
    def close(self, token: str, note: EntryKeys, found: State, body: bytes) -> None:
        expected = self.model.close(token, self.serial(token), note.entry, found, body)
        assert self.do(self.ledgers[token].close(note, found, body)) is expected

    @rule(token=st.sampled_from(WORKERS), note=st.sampled_from(NOTES), waiting=st.none() | BODIES)
    def account(self, token: str, note: EntryKeys, waiting: bytes | None) -> None:
        self.model.account(token, self.serial(token), note.entry, waiting)
        self.do(self._account(self.ledgers[token], note, waiting))

    async def _account(self, ledger: Ledger, note: EntryKeys, waiting: bytes | None) -> None:
        with patch("pipeline.delivery.ledger.ACCOUNTING_DELAY", 0):
            ledger.account(note, waiting)
            await ledger.flush()

    @rule(token=st.sampled_from(WORKERS), note=st.sampled_from(NOTES), state=st.sampled_from("LSDWA"), body=BODIES)
    def restore(self, token: str, note: EntryKeys, state: str, body: bytes) -> None:
        self.model.restore(token, note.entry, State(state), body)
        self.do(self.ledgers[token].restore([(note.entry, state.encode() + body)]))

    @rule(note=st.sampled_from(NOTES))
    def cancel(self, note: EntryKeys) -> None:
        self.model.cancelled.add(note.cancel)
        self.do(self.redis.set(note.cancel, b"1"))

    @invariant()
    def both_hold_the_same(self) -> None:
        stored = self.do(self.redis.mget([note.entry for note in NOTES]))
        for note, raw in zip(NOTES, stored, strict=True):
            entry = self.model.entries.get(note.entry)
            expected = None
            if entry is not None:
                holder = b"" if entry.state is State.ACCOUNTED else b"%s%010x" % (entry.token.encode(), entry.serial)
                deadline = b"%013d" % entry.deadline if entry.state is State.SENDING else b""
                expected = entry.state.encode() + holder + deadline + entry.body
            assert raw == expected


@dataclass
class Session:
    """What one worker believes about one notification. `called_at`: its provider call is under way since then."""

    found: Found
    doubted: bool
    called_at: int | None = None


@dataclass
class Truth:
    """What really happened to one notification. `forgiven`: Redis lost what it knew of it."""

    accepted: int = 0
    pending: set[str] = field(default_factory=set)
    flagged: bool = False
    forgiven: bool = False
    closed: bool = False


class Protocol(Server):
    """Workers that take, send, hang, crash and come back: no blind duplicate, no two calls at once, nothing sent unleased.

    A worker is as `pipeline.delivery.courier` is: it calls the provider only after `Move.MADE`, and has its answer, or
    has given up, within the provider timeout. A crash may come before or after the provider accepted.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.sessions: dict[tuple[str, EntryKeys], Session] = {}
        self.truth = {note: Truth() for note in NOTES}

    def calling(self) -> list[tuple[str, EntryKeys]]:
        return [key for key, session in self.sessions.items() if session.called_at is not None]

    def open_sessions(self) -> list[tuple[str, EntryKeys]]:
        return [key for key, session in self.sessions.items() if session.called_at is None]

    @rule(token=st.sampled_from(WORKERS), note=st.sampled_from(NOTES))
    def take(self, token: str, note: EntryKeys) -> None:
        if (token, note) in self.sessions:
            return
        found = self.do(self.ledgers[token].lease([note]))[0]
        if found.state in (State.LEASED, State.IN_DOUBT):
            doubted = found.state is State.IN_DOUBT or found.body == b"doubted"
            self.sessions[token, note] = Session(found, doubted)
        if found.state in (State.DONE, State.ACCOUNTED):
            assert self.truth[note].closed or self.truth[note].forgiven

    @precondition(lambda self: self.open_sessions())
    @rule(data=st.data())
    def call_the_provider(self, data: st.DataObject) -> None:
        token, note = data.draw(st.sampled_from(self.open_sessions()))
        session, truth = self.sessions[token, note], self.truth[note]
        body = b"doubted" if session.doubted else b""
        if self.do(self.ledgers[token].start(note, session.found.state, body)) is not Move.MADE:
            del self.sessions[token, note]
            return
        session.called_at = self.model.now
        if not truth.forgiven:
            assert not truth.closed, "what has ended is not sent again"
            assert not truth.pending, "two calls at once"
            assert session.doubted or not truth.accepted, "a blind duplicate"
        truth.pending.add(token)
        truth.flagged |= session.doubted

    @precondition(lambda self: self.calling())
    @rule(data=st.data(), accepts=st.booleans())
    def the_provider_answers(self, data: st.DataObject, accepts: bool) -> None:
        token, note = data.draw(st.sampled_from(self.calling()))
        session, truth, ledger = self.sessions.pop((token, note)), self.truth[note], self.ledgers[token]
        assert session.called_at is not None
        truth.pending.discard(token)
        truth.accepted += accepts
        if self.model.now - session.called_at > PROVIDER_TIMEOUT:
            return  # nobody waits any more: as good as a crash
        body = b"doubted" if session.doubted else b""
        if accepts:
            truth.closed |= self.do(ledger.close(note, session.found.state, body))
        else:
            self.do(ledger.release(note, body))

    @rule(token=st.sampled_from(WORKERS), accepted=st.booleans())
    def crash(self, token: str, accepted: bool) -> None:
        for each, note in list(self.sessions):
            if each == token:
                session = self.sessions.pop((each, note))
                self.truth[note].pending.discard(token)
                self.truth[note].accepted += accepted and session.called_at is not None

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def a_call_that_was_given_up_reaches_the_server(self, data: st.DataObject) -> None:
        ledger, calls, common = data.draw(st.sampled_from(self.sent))
        evaluate = type(ledger._move_script).ask
        self.do(evaluate(ledger._move_script, calls, common))

    @rule()
    def redis_loses_everything(self) -> None:
        super().redis_loses_everything()
        for truth in self.truth.values():
            truth.forgiven = True

    @invariant()
    def no_blind_duplicate(self) -> None:
        for truth in self.truth.values():
            assert truth.forgiven or truth.flagged or truth.accepted <= 1

    @invariant()
    def a_call_in_its_time_holds_the_lease(self) -> None:
        for token, note in self.calling():
            session = self.sessions[token, note]
            assert session.called_at is not None
            if self.truth[note].forgiven or self.model.now - session.called_at > PROVIDER_TIMEOUT:
                continue
            entry = self.do(self.redis.get(note.entry))
            assert isinstance(entry, bytes)
            assert entry.startswith(b"S" + token.encode())


STEPS = settings(max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_the_scripts_do_what_the_model_does_whatever_is_called(redis_url: str) -> None:
    run_state_machine_as_test(lambda: Conformance(redis_url), settings=STEPS)  # type: ignore[arg-type]  # it takes any factory


def test_workers_that_keep_to_the_protocol_never_send_twice_blindly(redis_url: str) -> None:
    run_state_machine_as_test(lambda: Protocol(redis_url), settings=STEPS)  # type: ignore[arg-type]  # it takes any factory
