"""``pipeline gateway``: wires the areas to their servers and listens."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from redis.asyncio import Redis

from pipeline.catalogue.loader import load_catalogue
from pipeline.catalogue.model import Catalogue
from pipeline.config import GatewaySettings
from pipeline.errors import ConfigurationError, Unavailable
from pipeline.events.canonical import CanonicalJson
from pipeline.events.codec import Codec
from pipeline.events.records import NotificationRequested
from pipeline.events.registry import open_book
from pipeline.events.schemas import SchemaBook
from pipeline.gateway.admission import Admission
from pipeline.gateway.application import Door, make_application
from pipeline.gateway.audit import AuditLog, Auditor, open_audit
from pipeline.gateway.auth.expiry import watch_keys
from pipeline.gateway.auth.gate import Gate
from pipeline.gateway.auth.jwks import Jwks
from pipeline.gateway.auth.keyring import Keyring
from pipeline.gateway.auth.limits import Limits
from pipeline.gateway.auth.tokens import Tokens
from pipeline.gateway.events.accept import Acceptor
from pipeline.gateway.events.claims import Claims
from pipeline.gateway.events.ingest import IngestTopic
from pipeline.gateway.events.intake import Intake
from pipeline.gateway.events.routes import EventRoutes
from pipeline.gateway.events.stories import TopicStories
from pipeline.gateway.feedback import FeedbackWriter
from pipeline.gateway.pages.applying import People
from pipeline.gateway.pages.frame import Frame
from pipeline.gateway.pages.preferences import PreferencePageRoutes
from pipeline.gateway.pages.rendering import PageRenderer
from pipeline.gateway.pages.texts import Texts
from pipeline.gateway.pages.unsubscribe import UnsubscribeRoutes
from pipeline.gateway.people.devices import DeviceRoutes
from pipeline.gateway.people.inbox import InboxRoutes
from pipeline.gateway.people.preferences import PreferenceRoutes
from pipeline.gateway.people.profiles import ProfileRoutes
from pipeline.gateway.randomness import RandomIds
from pipeline.gateway.routes import Routes
from pipeline.gateway.tracking.recorder import Recorder
from pipeline.gateway.tracking.routes import TrackingRoutes
from pipeline.gateway.webhooks.area import open_webhook_routes
from pipeline.kafka.client import producer_config
from pipeline.kafka.names import INGEST
from pipeline.kafka.producer import AsyncProducer
from pipeline.kafka.statistics import Statistics
from pipeline.kafka.topology import missing_topics
from pipeline.observability.patience import until_available
from pipeline.realtime.reads import ReadBroadcast
from pipeline.runtime import Background, Runtime, spare_the_collector
from pipeline.storage.api_keys import ApiKeys
from pipeline.storage.inbox_reader import InboxReader
from pipeline.storage.postgres import Pool, open_pool
from pipeline.storage.presence import wait_for_stores
from pipeline.storage.redis import open_redis
from pipeline.storage.repositories import Repositories
from pipeline.users.directory import UserDirectory

logger = logging.getLogger(__name__)

PENDING_MARGIN = 1.0
"""Seconds that a claim outlasts the wait for Kafka, so that nobody takes it over while its owner still waits."""

SHUTDOWN_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the areas are built from. A later area takes from here what it needs."""

    runtime: Runtime
    redis: Redis
    pool: Pool
    session: aiohttp.ClientSession
    catalogue: Catalogue
    book: SchemaBook
    codec: Codec
    claims: Claims
    acceptor: Acceptor
    limits: Limits
    directory: UserDirectory
    repositories: Repositories
    audit: AuditLog
    feedback: FeedbackWriter
    recorder: Recorder


async def serve_gateway(runtime: Runtime) -> None:
    """Serve until told to stop; then finish what is under way.

    Raises:
        ConfigurationError: a setting or the catalogue is wrong, or the port is taken.
    """
    async with open_gateway(runtime) as url:
        logger.info("gateway on %s", url)
        spare_the_collector()
        await runtime.stopping.wait()


@asynccontextmanager
async def open_gateway(runtime: Runtime) -> AsyncIterator[str]:
    """The gateway while the context is open; the value is its base URL.

    It listens before its servers are there: what needs one that is away gets 503 and `Retry-After`.
    """
    settings = runtime.settings
    runtime.health.need("kafka", "redis", "postgresql")
    async with AsyncExitStack() as stack:
        parts = await _open_parts(runtime, stack)
        application = make_application(
            areas(parts),
            door(parts),
            runtime.health,
            runtime.metrics,
            public_url=settings.http.public_url,
            tracing=runtime.tracing,
        )
        background = await stack.enter_async_context(Background())
        background.start(_watch_stores(parts))
        background.start(watch_keys(ApiKeys(parts.pool), runtime.metrics))
        yield await stack.enter_async_context(_listening(application, settings.gateway))


def areas(parts: Parts) -> list[Routes]:
    """The route tables of all areas: here a new one is plugged in."""
    settings, repositories = parts.runtime.settings, parts.repositories
    auditor = Auditor(parts.audit)
    return [
        _events(parts).table(),
        ProfileRoutes(repositories.users, auditor, settings.gateway).table(),
        PreferenceRoutes(
            repositories.preferences, repositories.users, parts.directory, parts.catalogue, auditor
        ).table(),
        DeviceRoutes(repositories.devices, auditor).table(),
        InboxRoutes(InboxReader(parts.pool), ReadBroadcast(parts.redis)).table(),
        open_webhook_routes(
            settings,
            redis=parts.redis,
            session=parts.session,
            feedback=parts.feedback,
            suppressions=repositories.suppressions,
            metrics=parts.runtime.metrics,
            now_ms=now_ms,
        ).table(),
        *hosted(parts),
    ]


def hosted(parts: Parts) -> list[Routes]:
    """What links in messages lead to."""
    settings, catalogue = parts.runtime.settings, parts.catalogue
    secret = settings.email.unsubscribe_secret.get_secret_value().encode()
    people = People(parts.repositories, parts.directory, catalogue)
    frame = Frame(Texts(catalogue.pages), PageRenderer())
    lifetime, tracked = settings.pages.preference_link_lifetime, bool(settings.tracking.secret.get_secret_value())
    return [
        UnsubscribeRoutes(secret, people, catalogue, frame, parts.feedback, parts.recorder).table(),
        PreferencePageRoutes(secret, lifetime, people, catalogue, frame, tracked=tracked).table(),
        TrackingRoutes(settings.tracking, parts.recorder).table(),
    ]


def door(parts: Parts) -> Door:
    """Who may, how often, how much at once."""
    settings = parts.runtime.settings.gateway
    public_keys = Jwks(settings.jwt, parts.session, time.monotonic) if settings.jwt.jwks_url else None
    keyring = Keyring(ApiKeys(parts.pool), settings.key_cache, time.monotonic)
    gate = Gate(keyring, Tokens(settings.jwt, public_keys), parts.limits, settings)
    gauge = parts.runtime.metrics.gateway_in_flight
    return Door(
        gate=gate,
        admission=Admission(settings.max_in_flight, settings.max_in_flight_bytes, gauge),
        settings=settings,
    )


def _events(parts: Parts) -> EventRoutes:
    settings, gateway = parts.runtime.settings, parts.runtime.settings.gateway
    canonical = CanonicalJson(parts.book.schema_of(NotificationRequested.__name__))
    return EventRoutes(
        intake=Intake(canonical, parts.catalogue, settings.router, now_ms, RandomIds().uuid),
        acceptor=parts.acceptor,
        claims=parts.claims,
        stories=TopicStories(settings, parts.codec, gateway.explain_timeout),
        max_batch=gateway.max_batch,
    )


async def _open_parts(runtime: Runtime, stack: AsyncExitStack) -> Parts:
    settings = runtime.settings
    catalogue = load_catalogue(settings.catalogue.path)
    redis = await stack.enter_async_context(open_redis(settings.redis))
    pool = await stack.enter_async_context(await open_pool(settings.postgres))
    session = await stack.enter_async_context(aiohttp.ClientSession())
    book = await open_book(settings.kafka)
    timeout_ms = max(100, int(settings.gateway.ack_timeout * 1000))
    producer = AsyncProducer(
        producer_config(settings.kafka, {"message.timeout.ms": timeout_ms}),
        statistics=Statistics(runtime.metrics, "producer"),
    )
    await stack.enter_async_context(producer)
    directory = UserDirectory(pool, redis, ttl=settings.router.snapshot_ttl, metrics=runtime.metrics)
    topic = IngestTopic(producer, settings.gateway.ack_timeout, Probe(runtime), runtime.health)
    stack.push_async_callback(topic.close)
    pending = settings.gateway.ack_timeout + PENDING_MARGIN
    claims, codec, limits = (
        Claims(redis, settings.router.idempotency_retention, pending),
        Codec.open(book),
        Limits(redis),
    )
    acceptor = Acceptor(
        codec=codec,
        claims=claims,
        topic=topic,
        limits=limits,
        metrics=runtime.metrics,
        clock=time.monotonic,
        patience=pending,
    )
    stack.push_async_callback(acceptor.close)
    tracked = FeedbackWriter(redis, topic.deliver, codec, runtime.metrics, retention=settings.tracking.remembered)
    recorder = Recorder(tracked, directory, catalogue, runtime.metrics)
    recorder.start()
    stack.push_async_callback(recorder.close)
    return Parts(
        runtime=runtime,
        redis=redis,
        pool=pool,
        session=session,
        catalogue=catalogue,
        book=book,
        codec=codec,
        claims=claims,
        acceptor=acceptor,
        limits=limits,
        directory=directory,
        repositories=Repositories.over(pool, directory.changed, max_devices=settings.devices.max_per_user),
        audit=open_audit(pool),
        feedback=FeedbackWriter(redis, topic.deliver, codec, runtime.metrics, retention=settings.receipts.retention),
        recorder=recorder,
    )


class Probe:
    """Asks Kafka whether the ingest topic is there."""

    def __init__(self, runtime: Runtime) -> None:
        self._kafka = runtime.settings.kafka

    async def __call__(self) -> None:
        """Raises `Unavailable` where it is not."""
        if await asyncio.to_thread(missing_topics, self._kafka, [INGEST]):
            raise Unavailable(f"there is no topic {INGEST} (create it: pipeline topics apply)")


async def _watch_stores(parts: Parts) -> None:
    """Readiness: the stores and Kafka must have been there once; what is away later shows in the answers."""
    runtime, settings = parts.runtime, parts.runtime.settings
    kafka = until_available(
        "kafka", Probe(runtime), away=(Unavailable,), health=runtime.health, where=settings.kafka.bootstrap_servers
    )
    await asyncio.gather(kafka, wait_for_stores(parts.redis, parts.pool, settings, runtime.health))


@asynccontextmanager
async def _listening(application: web.Application, settings: GatewaySettings) -> AsyncIterator[str]:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.host, settings.port).start()
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error} "
                "(set PIPELINE_GATEWAY__HOST and PIPELINE_GATEWAY__PORT)"
            ) from error
        host, port = runner.addresses[0][:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def now_ms() -> int:
    return time.time_ns() // 1_000_000
