"""Wires the webhooks to what they write to."""

from collections.abc import Callable

import aiohttp
from redis.asyncio import Redis

from pipeline.config import Settings
from pipeline.gateway.feedback import FeedbackWriter
from pipeline.gateway.webhooks.accounts import open_webhooks
from pipeline.gateway.webhooks.replays import Replays
from pipeline.gateway.webhooks.routes import WebhookRoutes
from pipeline.gateway.webhooks.taking import Taker
from pipeline.observability.metrics import Metrics
from pipeline.storage.references import ReferenceShelf, open_seal
from pipeline.storage.suppressions import Suppressions


def open_webhook_routes(
    settings: Settings,
    *,
    redis: Redis,
    session: aiohttp.ClientSession,
    feedback: FeedbackWriter,
    suppressions: Suppressions,
    metrics: Metrics,
    now_ms: Callable[[], int],
) -> WebhookRoutes:
    """The area as the settings have it.

    Raises:
        ConfigurationError: a key cannot be read.
    """
    taker = Taker(
        feedback=feedback,
        suppressions=suppressions,
        seal=open_seal(settings),
        shelf=ReferenceShelf.of(redis, settings),
        metrics=metrics,
        now_ms=now_ms,
    )
    return WebhookRoutes(
        open_webhooks(settings, session),
        taker,
        Replays(redis, settings.receipts.retention),
        metrics,
        public_url=settings.http.public_url,
        max_body_bytes=settings.receipts.max_body_bytes,
    )
