"""Two instances over real servers, and clients of every kind. All tests of a module share them; each has its own users."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
import msgspec
import psycopg
import pytest
import pytest_asyncio
import socketio
from psycopg import sql
from pydantic import SecretStr
from redis.asyncio import Redis

from pipeline.channels.in_app import RedisBroadcast, in_app_message
from pipeline.config import GatewaySettings, JwtSettings, PostgresSettings, RealtimeSettings, RedisSettings, Settings
from pipeline.embedded.valkey import Valkey
from pipeline.kafka.names import IN_APP_CHANNEL
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.realtime.presence import Presence
from pipeline.realtime.service import open_realtime
from pipeline.runtime import Runtime
from pipeline.storage.inbox import Inbox, InboxItem
from pipeline.storage.migrate import migrate
from pipeline.storage.postgres import Pool, open_pool
from pipeline.storage.redis import open_redis

SECRET = "only-for-these-tests-" + "x" * 32
WITHIN = 60.0


def token(user_id: str, **claims: object) -> str:
    payload = {"sub": user_id, "aud": "notifications", "exp": int(time.time()) + 300, **claims}
    return jwt.encode({k: v for k, v in payload.items() if v is not None}, SECRET, "HS256")


def bearer(user_id: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user_id)}"}


def somebody(name: str = "user") -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


def item(user_id: str, number: int = 0, *, title: str | None = None) -> InboxItem:
    return InboxItem(
        notification_id=str(uuid.uuid4()),
        user_id=user_id,
        event_type="order.shipped",
        category="orders",
        title=f"{number}" if title is None else title,
        body="On its way",
        data='{"order": {"id": 1}}',
        created_at=1_700_000_000_123,
    )


@dataclass
class Servers:
    """What all instances share."""

    settings: Settings
    pool: Pool
    redis: Redis

    def __post_init__(self) -> None:
        self.inbox = Inbox(self.pool)
        self._broadcast = RedisBroadcast(self.redis)

    async def publish(self, user_id: str, data: object) -> None:
        """As anybody may: nothing of it is in an inbox."""
        await self.redis.publish(IN_APP_CHANNEL, msgspec.json.encode({"recipient_id": user_id, "data": data}))

    async def deliver(self, *items: InboxItem, published: bool = True) -> None:
        """As the in-app channel does; `published` False: as it does before it dies."""
        places = await self.inbox.add(items)
        if published:
            await self._broadcast.publish([in_app_message(each, places[each.notification_id]) for each in items])

    @asynccontextmanager
    async def instance(self, **realtime: object) -> AsyncIterator["Instance"]:
        """One more instance of other settings; at the end of the context it is stopped as by SIGTERM."""
        values = {**self.settings.realtime.model_dump(), **realtime}
        settings = self.settings.model_copy(update={"realtime": RealtimeSettings(**values)})
        runtime = Runtime(settings, Health("service"), Metrics())
        runtime.health.set("service", ok=True)
        async with open_realtime(runtime) as url:
            await until(lambda: runtime.health.ready)
            yield Instance(url, runtime)


@dataclass(frozen=True)
class Instance:
    url: str
    runtime: Runtime

    def metric(self, name: str, **labels: str) -> float:
        return self.runtime.metrics.registry.get_sample_value(f"notifications_realtime_{name}", labels) or 0.0


async def until(condition: Any, what: str = "") -> None:
    """Wait for it; `what` is said when it does not come about."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, what or "it does not come about"
        await asyncio.sleep(0.01)


async def until_seen(presence: Presence, user: str, connected: bool) -> None:
    deadline = time.monotonic() + 60
    while (await presence.seen(user, datetime.now(UTC))).connected is not connected:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.fixture(scope="session")
def database(postgres_dsn: str) -> Iterator[str]:
    """One migrated database for all of these tests."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    dsn = urlsplit(postgres_dsn)._replace(path=f"/{name}").geturl()
    migrate(dsn)
    yield dsn
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def settings(database: str, valkey: Valkey) -> Settings:
    return Settings(
        redis=RedisSettings(url=valkey.url),
        postgres=PostgresSettings(dsn=SecretStr(database)),
        gateway=GatewaySettings(jwt=JwtSettings(hs256_secret=SecretStr(SECRET))),
        realtime=RealtimeSettings(port=0),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(settings: Settings) -> AsyncIterator[Servers]:
    async with await open_pool(settings.postgres) as pool, open_redis(settings.redis) as redis:
        yield Servers(settings, pool, redis)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def first(servers: Servers) -> AsyncIterator[Instance]:
    async with servers.instance() as instance:
        yield instance


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def second(servers: Servers) -> AsyncIterator[Instance]:
    async with servers.instance() as instance:
        yield instance


@dataclass
class SocketClient:
    """A Socket.IO client; `events` is what it got, and by `connect(after=…)` it comes back."""

    user_id: str
    transports: list[str] = field(default_factory=lambda: ["websocket"])
    events: list[tuple[str, Any]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    refused: Any = None
    gone: bool = False

    def __post_init__(self) -> None:
        self.client = socketio.AsyncClient(reconnection=False)
        for name in ("notification", "read", "ready"):
            self.client.on(name, self._take(name))
        self.client.on("connect_error", self._take_refusal)
        self.client.on("disconnect", self._take_end)

    def _take(self, name: str) -> Any:
        async def handler(data: Any) -> None:
            self.arrivals.append(time.perf_counter())
            self.events.append((name, data))

        return handler

    async def _take_refusal(self, data: Any) -> None:
        self.refused = data

    async def _take_end(self, *_: object) -> None:
        self.gone = True

    async def connect(
        self, instance: Instance, *, auth: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None,
        after: str | None = None,
    ) -> "SocketClient":  # fmt: skip
        given = {"token": token(self.user_id), **({} if after is None else {"after": after})} if auth is None else auth
        await self.client.connect(instance.url, auth=given, headers=dict(headers or {}), transports=self.transports)
        return self

    async def close(self) -> None:
        await self.client.disconnect()

    def got(self, name: str = "notification") -> list[Any]:
        return [data for event, data in self.events if event == name]

    @property
    def titles(self) -> list[str]:
        return [data["title"] for data in self.got()]


@dataclass(frozen=True)
class ServerSentEvent:
    event: str
    id: str
    data: Any


class Stream:
    """An SSE client by the book: `last_id` is what it would send when it comes back."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""
        self.retry: int | None = None

    async def next(self) -> ServerSentEvent | None:
        """The next event; None: the stream ended."""
        event, data = "message", []
        async with asyncio.timeout(WITHIN):
            async for raw in self.response.content:
                name, _, value = raw.decode().rstrip("\n").partition(":")
                value = value.removeprefix(" ")
                if name == "id":
                    self.last_id = value
                elif name == "event":
                    event = value
                elif name == "data":
                    data.append(value)
                elif name == "retry":
                    self.retry = int(value)
                elif not raw.strip() and data:
                    return ServerSentEvent(event, self.last_id, msgspec.json.decode("\n".join(data)))
        return None

    async def titles(self, count: int) -> list[str]:
        found: list[str] = []
        while len(found) < count:
            event = await self.next()
            assert event is not None, f"the stream ended after {found}"
            if event.event == "notification":
                found.append(event.data["title"])
        return found


@asynccontextmanager
async def stream(
    instance: Instance, user_id: str, *, after: str | None = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Stream]:
    """Connected and told so."""
    given = {**bearer(user_id), **({} if after is None else {"Last-Event-ID": after}), **(headers or {})}
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(instance.url + "/v1/stream", headers=given) as response,
    ):
        assert response.status == 200, await response.text()
        client = Stream(response)
        ready = await client.next()
        assert ready is not None
        assert ready.event == "ready"
        yield client


async def poll(instance: Instance, user_id: str, **query: str) -> Any:
    async with (
        aiohttp.ClientSession() as session,
        session.get(instance.url + "/v1/poll", headers=bearer(user_id), params=query) as response,
    ):
        assert response.status == 200, await response.text()
        return await response.json()
