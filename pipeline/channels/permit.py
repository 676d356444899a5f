"""The right to send one notification now, through the accounts of a chain, one after the other."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from pipeline.channels.base import Part
from pipeline.channels.routes import ChannelAccount, Route, route_of
from pipeline.events.records import Dispatch
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.breaker import Circuit

PAUSED = "paused"
"""The `error` of what was not sent because every account was paused."""

_TRY_AGAIN = frozenset({Outcome.TRANSIENT, Outcome.AMBIGUOUS, Outcome.THROTTLED})


class Chain(Protocol):
    """What a permit needs of `pipeline.channels.chain.ChainSender`."""

    async def call(self, account: ChannelAccount, dispatch: Dispatch, part: Part, deadline: float) -> SendResult:
        """Call it once, in time."""

    async def next(self, route: Route, dispatch: Dispatch, called: Sequence[ChannelAccount]) -> ChannelAccount | None:
        """The next account that can be called at once; it is entered."""

    def time_for_another(self, deadline: float) -> bool: ...

    def moved_on(self, account: ChannelAccount) -> None:
        """It failed, and another one is called."""

    def left(self, account: ChannelAccount) -> None:
        """Whoever had entered it is gone."""


class ChainPermit:
    """A `Permit`. `entered`: for each route the accounts that let us in, the first of them first."""

    __slots__ = ("_chain", "_dispatch", "entered")

    def __init__(self, chain: Chain, dispatch: Dispatch) -> None:
        self._chain = chain
        self._dispatch = dispatch
        self.entered: dict[Route, list[ChannelAccount]] = {}

    async def send(self, part: Part, *, repeat: bool, deadline: float) -> SendResult:
        route = route_of(part)
        account: ChannelAccount | None = self.entered[route][0] if route in self.entered else None
        tried: list[SendResult] = []
        called: list[ChannelAccount] = []
        while account is not None:
            called.append(account)
            own = route.part(account, self._dispatch, part.key)
            result = await self._chain.call(account, self._dispatch, own, deadline)
            if not _moves_on(result, repeat=repeat):
                return replace(result, tried=tuple(tried)) if tried else result
            tried.append(result)
            account = await self._next(route, called, deadline)
        return sum_up(route, tried)

    async def _next(self, route: Route, called: Sequence[ChannelAccount], deadline: float) -> ChannelAccount | None:
        if len(called) == len(route.accounts) or not self._chain.time_for_another(deadline):
            return None
        entered = self.entered[route]
        known = next((account for account in entered if account not in called), None)
        account = known or await self._chain.next(route, self._dispatch, called)
        if account and not known:
            entered.append(account)
        if account:
            self._chain.moved_on(called[-1])
        return account

    def release(self) -> None:
        entered, self.entered = self.entered, {}
        for accounts in entered.values():
            for account in accounts:
                account.leave(self._dispatch.notification_id)
                self._chain.left(account)


def sum_up(route: Route, tried: Sequence[SendResult]) -> SendResult:
    """What becomes of a part that no account took: it waits where all are paused, else the mildest answer counts."""
    if all(account.breaker.state is not Circuit.CLOSED for account in route.accounts):
        name = tried[-1].provider if tried else route.accounts[0].name
        return held(name, tried)
    if not tried:
        return held(route.accounts[0].name)
    last = next((result for result in reversed(tried) if result.outcome in _TRY_AGAIN), tried[-1])
    return replace(last, tried=tuple(result for result in tried if result is not last)) if len(tried) > 1 else last


def held(provider: str, tried: Sequence[SendResult] = ()) -> SendResult:
    return SendResult(
        outcome=Outcome.THROTTLED, provider=provider, error=PAUSED, retry_after=0.0, held=True, tried=tuple(tried)
    )


def _moves_on(result: SendResult, *, repeat: bool) -> bool:
    if result.outcome is Outcome.ACCEPTED:
        return False
    match result.outcome:
        case Outcome.THROTTLED if result.waits_for:
            return False
        case Outcome.TRANSIENT | Outcome.THROTTLED | Outcome.CONFIGURATION:
            return True
        case Outcome.AMBIGUOUS:
            return repeat
        case _:
            return False
