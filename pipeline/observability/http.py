"""Each service's own small HTTP server: ``/healthz``, ``/readyz``, ``/metrics``."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from pipeline.config import HttpSettings
from pipeline.errors import ConfigurationError
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics

logger = logging.getLogger(__name__)


@asynccontextmanager
async def serve_health(settings: HttpSettings, health: Health, metrics: Metrics) -> AsyncIterator[str]:
    """Serve while the context is open; the value is the base URL with the port that was bound.

    Raises:
        ConfigurationError: host and port cannot be listened on.
    """
    application = web.Application()
    add_health_routes(application, health, metrics)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        url = await _listen(runner, settings)
        logger.info("health and metrics on %s", url)
        yield url
    finally:
        await runner.cleanup()


def add_health_routes(application: web.Application, health: Health, metrics: Metrics) -> None:
    """Mount the three routes on an application that has others as well."""

    async def healthz(_request: web.Request) -> web.Response:
        return _json(health.report(), 200 if health.live else 503)

    async def readyz(_request: web.Request) -> web.Response:
        return _json(health.report(), 200 if health.ready else 503)

    async def exposition(request: web.Request) -> web.Response:
        for name, part in health.report()["parts"].items():
            metrics.dependency_up.labels(name).set(part["ok"])
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(metrics.registry), headers={"Content-Type": content_type})

    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", exposition)


async def _listen(runner: web.AppRunner, settings: HttpSettings) -> str:
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error} "
            "(set PIPELINE_HTTP__HOST and PIPELINE_HTTP__PORT; port 0 takes any free one)"
        ) from error
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _json(body: object, status: int) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")
