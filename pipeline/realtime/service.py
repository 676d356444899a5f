"""``pipeline realtime``: wires the transports to Redis and PostgreSQL and listens. Any number may run at once."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from pipeline.config import RealtimeSettings, Settings
from pipeline.errors import ConfigurationError, Unavailable
from pipeline.gateway.auth.jwks import Jwks
from pipeline.gateway.auth.tokens import Tokens
from pipeline.realtime.application import Ways, make_application
from pipeline.realtime.attendance import Attendant
from pipeline.realtime.door import Door
from pipeline.realtime.hub import Hub
from pipeline.realtime.poll import Polls
from pipeline.realtime.presence import Attendance
from pipeline.realtime.sockets import Sockets
from pipeline.realtime.stream import Streams
from pipeline.realtime.subscription import Subscription
from pipeline.runtime import Background, Runtime, spare_the_collector
from pipeline.storage.inbox_feed import InboxFeed
from pipeline.storage.postgres import open_pool
from pipeline.storage.presence import wait_for_stores
from pipeline.storage.redis import open_redis

logger = logging.getLogger(__name__)

EXPIRY_EVERY = 5.0
FAREWELL_SECONDS = 5.0
SHUTDOWN_SECONDS = 2.0
BACKLOG = 1_024
"""Connections that may wait to be accepted: after another instance has gone, many come at once."""


async def serve_realtime(runtime: Runtime) -> None:
    """Serve until told to stop; then send the clients to other instances.

    Raises:
        ConfigurationError: a setting is wrong, or the port is taken.
    """
    async with open_realtime(runtime) as url:
        logger.info("realtime on %s", url)
        spare_the_collector()
        await runtime.stopping.wait()


@asynccontextmanager
async def open_realtime(runtime: Runtime) -> AsyncIterator[str]:
    """The service while the context is open; the value is its base URL. At the end the clients are sent away."""
    settings, realtime = runtime.settings, runtime.settings.realtime
    if not (settings.gateway.jwt.jwks_url or settings.gateway.jwt.hs256_secret.get_secret_value()):
        logger.warning("nobody can connect: set PIPELINE_GATEWAY__JWT__HS256_SECRET or PIPELINE_GATEWAY__JWT__JWKS_URL")
    runtime.health.need("redis", "postgresql")
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(settings.redis))
        pool = await stack.enter_async_context(await open_pool(settings.postgres))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        background = await stack.enter_async_context(Background())
        hub = Hub(realtime, InboxFeed(pool), runtime.metrics)
        door = _door(settings, session)
        ways = Ways(
            sockets=Sockets(hub, door, realtime),
            streams=Streams(hub, door, realtime),
            polls=Polls(hub, door, realtime),
        )
        application = make_application(ways, door, runtime.health, runtime.metrics, development=realtime.development)
        attendance = Attendance(redis, secrets.token_hex(8), realtime.presence, realtime.presence_memory)
        attendant = Attendant(hub, attendance, realtime.presence)

        def suspect() -> None:
            runtime.metrics.realtime_subscriptions.inc()
            hub.suspect()

        background.start(Subscription(redis, hub.publish, suspect, runtime.health).run())
        background.start(wait_for_stores(redis, pool, settings, runtime.health))
        background.start(_sweep(hub, realtime.sweep))
        background.start(_end_expired(hub))
        background.start(ways.sockets.keep_clean())
        background.start(attendant.run())
        stack.push_async_callback(attendant.leave)
        listener = await stack.enter_async_context(_listening(application, realtime))
        try:
            yield listener.url
        finally:
            runtime.health.set("service", ok=False, detail="stopping")
            await listener.site.stop()  # who is sent away must not come back to this instance
            await hub.drain()
            await _until_gone(hub)
            await ways.sockets.settle()


def _door(settings: Settings, session: aiohttp.ClientSession) -> Door:
    jwt = settings.gateway.jwt
    public_keys = Jwks(jwt, session, time.monotonic) if jwt.jwks_url else None
    own = urlsplit(settings.http.public_url)
    origins = settings.realtime.allowed_origins | {f"{own.scheme}://{own.netloc}"}
    return Door(Tokens(jwt, public_keys), origins)


async def _sweep(hub: Hub, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        try:
            await hub.sweep()
        except Unavailable as error:
            logger.warning("inboxes cannot be compared: %s", error)


async def _end_expired(hub: Hub) -> None:
    while True:
        await asyncio.sleep(EXPIRY_EVERY)
        hub.end_expired()


async def _until_gone(hub: Hub) -> None:
    """Let those who were sent away be told so."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL_SECONDS):
            while len(hub):  # noqa: ASYNC110 - whoever is last says nothing
                await asyncio.sleep(0.01)


class _Listener(NamedTuple):
    url: str
    site: web.TCPSite


@asynccontextmanager
async def _listening(application: web.Application, settings: RealtimeSettings) -> AsyncIterator[_Listener]:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG)
        try:
            await site.start()
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error} "
                "(set PIPELINE_REALTIME__HOST and PIPELINE_REALTIME__PORT)"
            ) from error
        host, port = runner.addresses[0][:2]
        yield _Listener(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", site)
    finally:
        await runner.cleanup()
