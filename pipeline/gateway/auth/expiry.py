"""When the next API key ends, so that its owner can be told in time."""

import asyncio
import logging
from contextlib import suppress

from pipeline.errors import PipelineError
from pipeline.observability.metrics import Metrics
from pipeline.storage.api_keys import ApiKeys

logger = logging.getLogger(__name__)

API_KEY = "api key"
EVERY = 300.0


async def watch_keys(keys: ApiKeys, metrics: Metrics) -> None:
    """Keep the gauge current until cancelled. It goes where no key has an end, or PostgreSQL does not say."""
    while True:
        await look_at_keys(keys, metrics)
        await asyncio.sleep(EVERY)


async def look_at_keys(keys: ApiKeys, metrics: Metrics) -> None:
    """Set the gauge once."""
    try:
        ends_at = await keys.next_expiry()
    except PipelineError as error:
        logger.debug("cannot tell when the next API key ends: %s", error)
        ends_at = None
    if ends_at is not None:
        metrics.credential_expiry.labels(API_KEY).set(ends_at.timestamp())
    else:
        with suppress(KeyError):
            metrics.credential_expiry.remove(API_KEY)
