"""Engines of the SMS channel over simulated Twilio accounts: everything real but Twilio itself."""

import itertools
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import msgspec
from aiohttp import web

from pipeline.channels.chain import ChainSender
from pipeline.channels.factory import open_sender
from pipeline.config import (
    AccountSettings,
    BreakerSettings,
    DeliverySettings,
    KafkaSettings,
    ProviderSettings,
    RedisSettings,
    Settings,
    SmsSettings,
)
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel, Priority, Status
from pipeline.kafka.client import producer_config
from pipeline.kafka.producer import AsyncProducer
from pipeline.providers.breaker import Circuit
from pipeline.storage.redis import open_redis
from pipeline.testing.http_simulator import Accepted, Invalid
from pipeline.testing.twilio import TwilioSimulator, error_reply
from pipeline.users.directory import Found
from pipeline.users.snapshot import Suppression, UserSnapshot
from tests.integration.delivery.conftest import People, World

_priorities = itertools.cycle(p for p in Priority if p is not Priority.CRITICAL)
"""A group that a test has just left may still have a member; and critical marketing may be sent twice."""

POISONED = "+15005550199"
DATA = json.dumps({"order_id": "ORD-1", "tracking_url": "https://example.com/track/1"})


class Carrier(TwilioSimulator):
    """Twilio, which fails for one number and notes when it was asked, and to which numbers it sent in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []
        self.order: list[str] = []

    def accept(self, request: web.BaseRequest, body: bytes) -> Accepted:
        self.asked.append(time.monotonic())
        accepted = super().accept(request, body)
        if accepted.recipient == POISONED:
            raise Invalid("poison", error_reply(500, 20500))
        self.order.append(accepted.recipient)
        return accepted


class Phones(People):
    """Everybody has a phone. Users named like a number have that one."""

    def __init__(self) -> None:
        super().__init__()
        self.suppressed: set[str] = set()

    async def find(self, user_ids: Collection[str]) -> Found:
        return Found({user: self._snapshot(user) for user in user_ids}, {})

    def _snapshot(self, user: str) -> UserSnapshot:
        stop = [Suppression(Channel.SMS, "*", "stop", None)] if user in self.suppressed else []
        return UserSnapshot(user_id=user, version=1, known=True, phone=phone(user), locale="en", suppressions=stop)


def phone(user: str) -> str:
    return user if user.startswith("+") else f"+1500555{1000 + int(user.removeprefix('user')):04}"


class Accounts:
    """Two carriers, `first` and `second`, and worlds whose SMS channel is served by those that are listed."""

    def __init__(self, kafka: KafkaSettings, redis_url: str) -> None:
        self._kafka = kafka
        self._redis_url = redis_url
        self._stack = AsyncExitStack()
        self.first, self.second = Carrier(), Carrier()

    async def __aenter__(self) -> Self:
        for carrier in (self.first, self.second):
            await self._stack.enter_async_context(carrier)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def entry(self, name: str, carrier: Carrier, **fields: Any) -> AccountSettings:
        own = {
            "base_url": carrier.base_url,
            "account_sid": carrier.account_sid,
            "auth_token": carrier.auth_token,
            "from_number": carrier.from_number,
            **fields.pop("settings", {}),
        }
        return AccountSettings(name=name, provider="twilio", settings=own, **fields)

    def both(self) -> Sequence[AccountSettings]:
        return [self.entry("first", self.first), self.entry("second", self.second)]

    async def world(
        self,
        accounts: Sequence[AccountSettings],
        *,
        priority: Priority | None = None,
        sms: dict[str, Any] | None = None,
        breaker: dict[str, Any] | None = None,
        **delivery: Any,
    ) -> "AccountWorld":
        """A world that is closed with these accounts."""
        settings = Settings(
            kafka=self._kafka,
            redis=RedisSettings(url=self._redis_url),
            delivery=DeliverySettings(
                **{
                    "backoff_base": 0.05,
                    "lease": 6,
                    "provider_timeout": 2,
                    "commit_interval": 0.05,
                    "drain_timeout": 5,
                    "max_in_flight": 400,
                    "concurrency": 50,
                    **delivery,
                }
            ),
            providers=ProviderSettings(),
            sms=SmsSettings(providers=tuple(accounts), **(sms or {})),
            breaker=BreakerSettings(**{"open_for": 0.2, "open_cap": 0.5, **(breaker or {})}),
        )
        redis = await self._stack.enter_async_context(open_redis(settings.redis))
        producer = await self._stack.enter_async_context(AsyncProducer(producer_config(settings.kafka)))
        world = AccountWorld(settings, redis, producer, (Channel.SMS, priority or next(_priorities)))
        await world.open()
        self._stack.push_async_callback(world.close)
        return world

    def sent(self) -> Counter[str]:
        """How often each notification was accepted, by whichever account."""
        return self.first.received.by_notification() + self.second.received.by_notification()


class AccountWorld(World):
    """A world with the chain that its settings describe."""

    async def open(self) -> None:
        self.phones = self.directory = Phones()
        nothing: Any = None
        chain = await open_sender(
            Channel.SMS,
            self.settings,
            redis=self.redis,
            inbox=nothing,
            devices=nothing,
            suppressions=nothing,
            metrics=self.metrics,
        )
        self.chain: ChainSender = chain

    async def close(self) -> None:
        await super().close()
        await self.chain.close()

    def sms(self, key: str, user: str = "user0", **changes: object) -> Dispatch:
        dispatch = self.dispatch(key, user, **changes)
        return msgspec.structs.replace(dispatch, event=msgspec.structs.replace(dispatch.event, data=DATA))

    def state(self, account: str) -> Circuit:
        return self.chain.accounts[account].breaker.state

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"notifications_{name}", labels) or 0.0

    def waits(self) -> int:
        """How many outcomes say that it waits for a time or a person."""
        return sum(s.status in {Status.DEFERRED, Status.DEAD_LETTERED} for s in self.statuses())


MakeWorld = Callable[..., Awaitable[AccountWorld]]
