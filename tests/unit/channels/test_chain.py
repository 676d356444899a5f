"""A chain over scripted senders: who is called, in which order, and what it adds up to."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.channels.base import Hold, Part, Permit, Refused, Reserved
from pipeline.channels.chain import ChainSender, Times
from pipeline.channels.permit import PAUSED
from pipeline.channels.routes import ChannelAccount, in_order
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel, Priority, Reason
from pipeline.observability.metrics import Metrics
from pipeline.providers.account import Account
from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.providers.breaker import Breaker, BreakerPolicy, Circuit
from pipeline.providers.slots import Slots
from pipeline.users.snapshot import Device, UserSnapshot
from tests.unit.channels.conftest import MakeDispatch

POLICY = BreakerPolicy(failures=5, window=50, share=0.8, open_for=60, open_cap=60, close_after=1, random=lambda: 0.0)
USER = UserSnapshot(user_id="u", version=1, known=True, devices=[Device("d", "android", "t"), Device("i", "ios", "t")])
NO_REDIS: Any = None


class Scripted:
    """Answers as it is told, else accepts; notes which parts it was sent."""

    channel = Channel.PUSH
    repeat_is_harmless = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.script: list[SendResult] = []
        self.sent: list[str] = []
        self.seconds = 0.0
        self.refuses = False

    def answers(self, *outcomes: Outcome, scope: Scope = Scope.UNKNOWN) -> None:
        self.script += [SendResult(outcome=outcome, provider=self.name, scope=scope) for outcome in outcomes]

    def prepare(self, dispatch: Dispatch, user: UserSnapshot) -> Sequence[Part]:
        if self.refuses:
            raise Refused(Reason.TOO_LARGE, "too large for it")
        return [Part(key=device.id, payload=self.name) for device in user.devices]

    async def send(self, dispatch: Dispatch, part: Part) -> SendResult:
        assert part.payload == self.name, "each account has parts of its own"
        self.sent.append(part.key)
        await asyncio.sleep(self.seconds)
        return self.script.pop(0) if self.script else SendResult(outcome=Outcome.ACCEPTED, provider=self.name)

    async def prune(self, dispatch: Dispatch, part: Part, result: SendResult) -> None:
        self.sent.append(f"pruned {part.key}")

    async def start(self) -> None: ...

    async def close(self) -> None: ...


class Rig:
    """Accounts `a`, `b`, … and their chain."""

    def __init__(self, names: str, dispatch: Dispatch, **fields: Any) -> None:
        self.senders = {name: Scripted(name) for name in names}
        loop = asyncio.get_running_loop()
        self.accounts: list[ChannelAccount] = [
            Account(
                name=name,
                sender=sender,
                breaker=Breaker(POLICY),
                metrics=Metrics(),
                clock=loop.time,
                **{key: value[name] for key, value in fields.items() if name in value},
            )
            for name, sender in self.senders.items()
        ]
        self.chain = ChainSender(self.accounts, NO_REDIS, Metrics(), Times(call=5, enough=2, parking=60))
        self.dispatch = dispatch
        self.parts = self.chain.prepare(dispatch, USER)

    def open(self, *names: str) -> None:
        for account in self.accounts:
            if account.name in names:
                account.breaker.pause("test", account.clock(), 3600)

    async def admitted(self) -> Permit:
        permit = await self.chain.admit(self.dispatch, self.parts, Reserved())
        assert not isinstance(permit, Hold)
        return permit

    async def send(self, *, repeat: bool = True, seconds: float = 30) -> SendResult:
        permit = await self.admitted()
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            return await permit.send(self.parts[0], repeat=repeat, deadline=deadline)
        finally:
            permit.release()


@pytest.fixture
def dispatch(make_dispatch: MakeDispatch) -> Dispatch:
    return make_dispatch(Channel.PUSH)


def outcomes(results: Sequence[SendResult]) -> list[tuple[str, Outcome]]:
    return [(result.provider, result.outcome) for result in results]


async def test_the_next_account_is_called_and_the_answer_tells_of_all(dispatch: Dispatch) -> None:
    rig = Rig("abc", dispatch)
    rig.senders["a"].answers(Outcome.TRANSIENT)
    rig.senders["b"].answers(Outcome.CONFIGURATION)
    result = await rig.send()
    assert (result.outcome, result.provider) == (Outcome.ACCEPTED, "c")
    assert outcomes(result.tried) == [("a", Outcome.TRANSIENT), ("b", Outcome.CONFIGURATION)]


@pytest.mark.parametrize("outcome", [Outcome.PERMANENT, Outcome.INVALID_RECIPIENT])
async def test_what_no_account_would_take_is_not_offered_to_the_next(dispatch: Dispatch, outcome: Outcome) -> None:
    rig = Rig("ab", dispatch)
    rig.senders["a"].answers(outcome)
    assert (await rig.send()).outcome is outcome
    assert rig.senders["b"].sent == []


@pytest.mark.parametrize("repeat", [True, False])
async def test_after_a_lost_answer_it_goes_on_only_where_a_repeat_is_allowed(dispatch: Dispatch, repeat: bool) -> None:
    rig = Rig("ab", dispatch)
    rig.senders["a"].answers(Outcome.AMBIGUOUS)
    result = await rig.send(repeat=repeat)
    assert result.outcome is (Outcome.ACCEPTED if repeat else Outcome.AMBIGUOUS)
    assert bool(rig.senders["b"].sent) is repeat


async def test_there_is_no_other_call_without_the_time_for_it(dispatch: Dispatch) -> None:
    rig = Rig("ab", dispatch)
    rig.senders["a"].answers(Outcome.TRANSIENT)
    assert (await rig.send(seconds=1.5)).outcome is Outcome.TRANSIENT
    assert rig.senders["b"].sent == []


async def test_a_call_ends_at_its_deadline_in_doubt(dispatch: Dispatch) -> None:
    rig = Rig("a", dispatch)
    rig.senders["a"].seconds = 60
    result = await asyncio.wait_for(rig.send(seconds=0.05), 5)
    assert (result.outcome, result.error) == (Outcome.AMBIGUOUS, "too_late")


async def test_where_nobody_took_it_the_mildest_answer_counts(dispatch: Dispatch) -> None:
    rig = Rig("ab", dispatch)
    rig.senders["a"].answers(Outcome.TRANSIENT)
    rig.senders["b"].answers(Outcome.CONFIGURATION)
    result = await rig.send()
    assert (result.outcome, result.provider) == (Outcome.TRANSIENT, "a"), "worth another try"
    assert outcomes(result.tried) == [("b", Outcome.CONFIGURATION)]


async def test_with_all_circuits_open_it_is_held_and_nobody_is_called(dispatch: Dispatch) -> None:
    rig = Rig("ab", dispatch)
    rig.open("a", "b")
    hold = await rig.chain.admit(dispatch, rig.parts, Reserved())
    assert isinstance(hold, Hold)
    assert (hold.by_circuit, hold.aside) == (True, False)
    result = await rig.chain.send(dispatch, rig.parts[0])
    assert (result.held, result.error, result.outcome) == (True, PAUSED, Outcome.THROTTLED)
    assert [sender.sent for sender in rig.senders.values()] == [[], []]


async def test_a_call_that_opens_the_last_circuit_costs_no_try(dispatch: Dispatch) -> None:
    rig = Rig("a", dispatch)
    rig.senders["a"].answers(Outcome.CONFIGURATION, scope=Scope.ACCOUNT)
    result = await rig.send()
    assert result.held
    assert outcomes(result.tried) == [("a", Outcome.CONFIGURATION)]
    assert rig.accounts[0].breaker.state is Circuit.OPEN


async def test_an_account_that_cannot_build_it_is_passed_over(dispatch: Dispatch) -> None:
    rig = Rig("abc", dispatch)
    rig.senders["b"].refuses = True
    rig.open("a")
    assert (await rig.send()).provider == "c"


async def test_what_the_first_account_cannot_build_goes_to_the_next_that_can(dispatch: Dispatch) -> None:
    rig = Rig("abc", dispatch)
    rig.senders["a"].refuses = rig.senders["b"].refuses = True
    rig.parts = rig.chain.prepare(dispatch, USER)
    assert (await rig.send()).provider == "c"
    rig.senders["c"].refuses = True
    with pytest.raises(Refused, match="too large for it"):
        rig.chain.prepare(dispatch, USER)


async def test_a_dead_address_is_pruned_by_the_account_that_said_so(dispatch: Dispatch) -> None:
    rig = Rig("ab", dispatch)
    rig.open("a")
    rig.senders["b"].answers(Outcome.INVALID_RECIPIENT)
    result = await rig.send()
    await rig.chain.prune(dispatch, rig.parts[0], result)
    assert (rig.senders["a"].sent, rig.senders["b"].sent) == ([], ["d", "pruned d"])


async def test_devices_of_a_paused_account_wait_and_the_others_are_sent_to(dispatch: Dispatch) -> None:
    reaches = {"f": lambda d: d.platform == "android", "p": lambda d: d.platform == "ios"}
    rig = Rig("fp", dispatch, reaches=reaches)
    rig.open("p")
    permit = await rig.admitted()
    results = [await permit.send(part, repeat=True, deadline=1e12) for part in rig.parts]
    permit.release()
    assert [(part.key, r.outcome, r.held) for part, r in zip(rig.parts, results, strict=True)] == [
        ("d", Outcome.ACCEPTED, False),
        ("i", Outcome.THROTTLED, True),
    ]
    ios = [part for part in rig.parts if part.key == "i"]
    hold = await rig.chain.admit(dispatch, ios, Reserved())
    assert isinstance(hold, Hold)
    assert hold.aside, "others of this channel can go on"


async def test_a_place_is_waited_for_before_the_lease_and_the_most_urgent_gets_it(make_dispatch: MakeDispatch) -> None:
    slots = Slots(1)
    low, critical = (make_dispatch(Channel.PUSH, priority=p) for p in (Priority.LOW, Priority.CRITICAL))
    rig = Rig("a", low, slots={"a": slots})
    first = await rig.admitted()
    waiting = [asyncio.create_task(rig.chain.admit(d, rig.chain.prepare(d, USER), Reserved())) for d in (low, critical)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)
    first.release()
    await asyncio.sleep(0.01)
    assert [task.done() for task in waiting] == [False, True]
    rig.open("a")
    rig.chain._changed(rig.accounts[0])
    await asyncio.sleep(0.01)
    assert isinstance(waiting[0].result(), Hold), "nobody waits for a place at an account that is paused"
    await rig.chain.close()


async def test_whoever_waits_is_woken_when_the_circuit_closes(dispatch: Dispatch) -> None:
    rig, woken = Rig("a", dispatch), list[int | None]()
    rig.chain.subscribe(woken.append)
    account = rig.accounts[0]
    account.heed("n", SendResult(outcome=Outcome.THROTTLED, provider="a", retry_after=0.05))
    await asyncio.sleep(0.2)
    assert woken, "a probe is due"
    assert None not in woken, "and goes alone"
    await rig.send()
    assert woken[-1] is None, "then all may go"


def account(name: str, weight: int) -> ChannelAccount:
    return Account(
        name=name, sender=Scripted(name), breaker=Breaker(POLICY), metrics=Metrics(), clock=lambda: 0.0, weight=weight
    )


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.uuids().map(str))
def test_every_account_is_in_the_order_once_and_the_rest_keep_theirs(weights: list[int], key: str) -> None:
    accounts = tuple(account(str(n), weight) for n, weight in enumerate(weights))
    order = in_order(accounts, key)
    assert sorted(a.name for a in order) == sorted(a.name for a in accounts)
    assert [a.name for a in order[1:]] == [a.name for a in accounts if a is not order[0]]
    assert order == in_order(accounts, key), "a retry begins where the first try began"
    assert order[0].weight or not any(weights)


def test_who_begins_is_shared_out_by_weight() -> None:
    accounts = (account("spare", 0), account("light", 1), account("heavy", 3))
    first = Counter(in_order(accounts, key)[0].name for key in ids(4000))
    assert first["spare"] == 0
    assert first["heavy"] == pytest.approx(3000, rel=0.1)


def ids(count: int) -> Iterator[str]:
    return (f"0b5cf7b1-6a6f-5d0e-8a76-{number:012x}" for number in range(count))
