"""A channel over several provider accounts: who is called first, who next, and when nobody is.

Every account is a whole `ChannelSender` of the channel, so each provider is asked in its own words. The chain adds what
is the same for all: circuits, rate limits, places, failover within the time that a lease covers.
(``docs/isolation.md``)
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from pipeline.channels.base import Hold, Part, Permit, Reserved
from pipeline.channels.cutoff import CutOff
from pipeline.channels.permit import ChainPermit, held
from pipeline.channels.routes import ChannelAccount, Route, Routes, route_of
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Priority, Reason
from pipeline.observability.metrics import Metrics
from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.providers.breaker import Cause, Circuit
from pipeline.providers.limits import Limit, Limits
from pipeline.users.snapshot import UserSnapshot

logger = logging.getLogger(__name__)

HORIZON = 5.0
"""Seconds that an account's rate is reserved ahead: what a worker that dies has reserved is lost to the others."""

WOKEN = 2
"""How many of those who wait are woken, for each engine, when a probe is due: one goes, one in case it is over."""

_RANK = {priority: rank for rank, priority in enumerate(Priority)}

LimitsOf = Callable[[Part], Sequence[Limit]]
"""The rate limits of the channel's own that a part falls under (country, sender)."""


class Times(NamedTuple):
    """Seconds. `call`: one call at most; `enough`: what must be left for another one; `parking`: longest wait in line."""

    call: float
    enough: float
    parking: float


class ChainSender:
    """A `ChannelSender` and a `Gate` over `accounts`, in order of failover; at least one."""

    def __init__(
        self,
        accounts: Sequence[ChannelAccount],
        limits: Limits,
        metrics: Metrics,
        times: Times,
        *,
        limits_of: LimitsOf | None = None,
    ) -> None:
        first = accounts[0].sender
        self.channel = first.channel
        self.repeat_is_harmless = first.repeat_is_harmless
        self.accounts = {account.name: account for account in accounts}
        self._routes = Routes(accounts)
        self._limits = limits
        self._limits_of = limits_of
        self._metrics = metrics
        self._times = times
        self._cut_off = CutOff()
        self._wake: list[Callable[[int | None], None]] = []
        self._timers: dict[str, asyncio.TimerHandle] = {}
        for account in accounts:
            account.on_change.append(self._changed)

    async def start(self) -> None:
        for account in self.accounts.values():
            await account.sender.start()

    async def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        for account in self.accounts.values():
            await account.sender.close()

    def prepare(self, dispatch: Dispatch, user: UserSnapshot) -> Sequence[Part]:
        """See `ChannelSender.prepare`; as the first account has it."""
        return self._routes.prepare(dispatch, user)

    async def send(self, dispatch: Dispatch, part: Part) -> SendResult:
        """Send without a ledger's lease: admitted, called once for each account, and no more."""
        permit = await self.admit(dispatch, [part], Reserved())
        if isinstance(permit, Hold):
            return held(permit.provider)
        try:
            deadline = asyncio.get_running_loop().time() + self._times.call
            return await permit.send(part, repeat=False, deadline=deadline)
        finally:
            permit.release()

    async def prune(self, dispatch: Dispatch, part: Part, result: SendResult) -> None:
        """By the account that refused the address."""
        route = route_of(part)
        account = self.accounts[result.provider]
        await account.sender.prune(dispatch, route.part(account, dispatch, part.key), result)

    def subscribe(self, wake: Callable[[int | None], None]) -> None:
        self._wake.append(wake)

    async def admit(self, dispatch: Dispatch, parts: Sequence[Part], reserved: Reserved) -> Permit | Hold:
        """See `pipeline.channels.base.Gate.admit`: admitted as soon as one of the parts can go."""
        if self._limits_of and not reserved.limits and (hold := await self._wait_for_limits(self._limits_of, parts)):
            return hold
        permit = ChainPermit(self, dispatch)
        holds: list[Hold] = []
        try:
            for route in [route_of(parts[0])] if len(parts) == 1 else dict.fromkeys(map(route_of, parts)):
                entered = await self._enter(route, dispatch, reserved)
                if isinstance(entered, Hold):
                    holds.append(entered)
                else:
                    permit.entered[route] = [entered]
        except BaseException:
            permit.release()
            raise
        return permit if permit.entered else min(holds)

    async def next(self, route: Route, dispatch: Dispatch, called: Sequence[ChannelAccount]) -> ChannelAccount | None:
        """The next account that can be called at once."""
        for account in route.accounts:
            if account in called or account.wait() > 0 or not route.builds(account, dispatch):
                continue
            if account.limit and not (await self._limits.take(account.limit, 0.0)).taken:
                continue
            if account.slots and not account.slots.try_acquire():
                continue
            if account.enter(dispatch.notification_id):
                return account
            if account.slots:
                account.slots.release()
        return None

    async def call(self, account: ChannelAccount, dispatch: Dispatch, part: Part, deadline: float) -> SendResult:
        """Call it once, in time, and let its circuit know."""
        deadline = min(account.clock() + self._times.call, deadline)
        try:
            result = await self._cut_off.at(deadline, account.sender.send(dispatch, part))
        except TimeoutError:
            result = SendResult(outcome=Outcome.AMBIGUOUS, provider=account.name, error="too_late")
        except Exception as error:
            logger.exception("the client of %s failed; whether it had sent is not known", account.name)
            result = SendResult(outcome=Outcome.AMBIGUOUS, provider=account.name, error=type(error).__name__)
        if result.provider != account.name:
            result = replace(result, provider=account.name)
        account.heed(dispatch.notification_id, result)
        if account.breaker.state is Circuit.OPEN and not account.wait():
            self._probe_due(account)
        throttled = result.outcome is Outcome.THROTTLED and result.scope is not Scope.MESSAGE
        if account.limit and throttled and result.retry_after:
            await self._limits.pause(account.limit, result.retry_after)
        return result

    def time_for_another(self, deadline: float) -> bool:
        return deadline - asyncio.get_running_loop().time() >= self._times.enough

    def moved_on(self, account: ChannelAccount) -> None:
        self._metrics.failovers.labels(account.name).inc()

    def left(self, account: ChannelAccount) -> None:
        """Somebody has left it: where a probe was good, or came to nothing, the next may go."""
        if account.slots:
            account.slots.release()
        if account.breaker.state is Circuit.HALF_OPEN and not account.wait():
            asyncio.get_running_loop().call_soon(self._probe_due, account)

    async def _wait_for_limits(self, limits_of: LimitsOf, parts: Sequence[Part]) -> Hold | None:
        """Each of the channel's own limits is a queue of its own, so that one country waits and no other."""
        limits = [limit for part in parts for limit in limits_of(route_of(part).first_part(part.key))]
        places = [(limit, await self._limits.take(limit, self._times.parking)) for limit in limits]
        due = [(place.wait, place.taken, limit) for limit, place in places if place.wait > 0]
        if not due:
            return None
        seconds, _, limit = max(due)
        self._metrics.limit_waits.labels(_kind(limit)).inc()
        taken = all(taken for _, taken, _ in due)
        return Hold(seconds, Reason.THROTTLED, _kind(limit), aside=True, reserved=Reserved(limits=taken))

    async def _enter(self, route: Route, dispatch: Dispatch, reserved: Reserved) -> ChannelAccount | Hold:
        """The first account that lets us in now; else the shortest wait."""
        first = route.accounts[0]
        if first.limit is None and first.slots is None and first.enter(dispatch.notification_id):
            return first
        holds: list[Hold] = []
        limited: list[tuple[float, ChannelAccount]] = []
        for account in route.accounts:
            if account is not route.accounts[0] and not route.builds(account, dispatch):
                continue
            if not account.wait() and account.limit and reserved.account != account.name:
                place = await self._limits.take(account.limit, 0.0)
                if not place.taken:
                    limited.append((place.wait, account))
                    continue
            if not account.wait() and await self._take(account, dispatch):
                return account
            holds.append(self._behind_circuit(account, reserved))
        if limited:
            holds.append(await self._reserve(min(limited, key=lambda pair: pair[0])[1], reserved))
        return min(holds)

    async def _reserve(self, account: ChannelAccount, reserved: Reserved) -> Hold:
        """A place in its queue for later; none if it would be too late for that."""
        assert account.limit is not None
        place = await self._limits.take(account.limit, HORIZON)
        self._metrics.limit_waits.labels("account").inc()
        if place.taken:
            reserved = reserved._replace(account=account.name)
        return Hold(place.wait, Reason.THROTTLED, account.name, reserved=reserved)

    async def _take(self, account: ChannelAccount, dispatch: Dispatch) -> bool:
        """Enter it; where it has places, wait for one. The circuit may open meanwhile."""
        if account.slots and not await account.slots.acquire(_RANK[dispatch.priority]):
            return False
        if account.enter(dispatch.notification_id):
            return True
        if account.slots:
            account.slots.release()
        return False

    def _behind_circuit(self, account: ChannelAccount, reserved: Reserved) -> Hold:
        throttled = account.breaker.cause is Cause.THROTTLED
        reason = Reason.THROTTLED if throttled else Reason.PROVIDER_UNAVAILABLE
        aside = any(other.breaker.state is Circuit.CLOSED for other in self.accounts.values())
        return Hold(account.wait(), reason, account.name, by_circuit=True, aside=aside, reserved=reserved)

    def _changed(self, account: ChannelAccount) -> None:
        if timer := self._timers.pop(account.name, None):
            timer.cancel()
        if account.breaker.state is Circuit.CLOSED:
            self._wake_up(None)
        elif account.breaker.state is Circuit.OPEN:
            if account.slots:
                account.slots.dismiss()
            self._look_later(account)

    def _look_later(self, account: ChannelAccount) -> None:
        loop = asyncio.get_running_loop()
        self._timers[account.name] = loop.call_later(account.wait(), self._probe_due, account)

    def _probe_due(self, account: ChannelAccount) -> None:
        if account.breaker.state is Circuit.CLOSED:
            return
        if account.wait() > 0:
            self._look_later(account)
        else:
            self._wake_up(WOKEN)

    def _wake_up(self, count: int | None) -> None:
        for wake in self._wake:
            wake(count)


def _kind(limit: Limit) -> str:
    """``rate:{sms:country:DE}`` → ``country``: a label must not have many values."""
    return limit.key.split(":")[-2]
