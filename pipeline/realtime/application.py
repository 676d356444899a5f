"""The aiohttp application: three ways in, each through the same door."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Middleware

from pipeline.errors import Unavailable
from pipeline.gateway.envelope import REQUEST_ID, SECURITY_HEADERS, problem
from pipeline.gateway.problems import Refused, unavailable
from pipeline.observability.health import Health
from pipeline.observability.http import add_health_routes
from pipeline.observability.metrics import Metrics
from pipeline.realtime.door import Door
from pipeline.realtime.page import add_page
from pipeline.realtime.poll import Polls
from pipeline.realtime.sockets import PATH, Sockets
from pipeline.realtime.stream import Streams

logger = logging.getLogger(__name__)

_CORS = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Cache-Control, Content-Type, Last-Event-ID, X-Request-ID",
    "Access-Control-Max-Age": "600",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True)
class Ways:
    """The transports."""

    sockets: Sockets
    streams: Streams
    polls: Polls


def make_application(ways: Ways, door: Door, health: Health, metrics: Metrics, *, development: bool) -> web.Application:
    """Serves the transports, health and metrics, and in `development` the example page."""
    application = web.Application(middlewares=[_envelope(door, metrics)])
    application.on_response_prepare.append(_dress)
    add_health_routes(application, health, metrics)
    application.router.add_get("/v1/stream", ways.streams.handle)
    application.router.add_get("/v1/poll", ways.polls.handle)
    for method in ("GET", "POST"):
        application.router.add_route(method, PATH, ways.sockets.handle)
    if development:
        add_page(application)
    return application


def _envelope(door: Door, metrics: Metrics) -> Middleware:
    @web.middleware
    async def envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            door.check_origin(request)
            if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
                return web.Response(status=204, headers=_CORS)
            return await handler(request)
        except Refused as refused:
            return _refuse(request, refused, metrics)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return _refuse(request, Refused(error.status, f"{request.method} {request.path}: {error.reason}."), metrics)
        except Unavailable as error:
            logger.warning("a server is away: %s", error)
            return _refuse(request, unavailable("A server that this needs is away."), metrics)
        except Exception:
            logger.exception("a request failed")
            return _refuse(request, Refused(500, "Something went wrong here; see the log."), metrics)

    return envelope


def _refuse(request: web.Request, refused: Refused, metrics: Metrics) -> web.Response:
    metrics.realtime_refused.labels(refused.status).inc()
    return problem(request, refused)


async def _dress(request: web.Request, response: web.StreamResponse) -> None:
    """Every origin that came as far as this may read the answer."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "notifications"
    response.headers.add("Vary", "Origin")
    if response.status != 403 and (origin := request.headers.get("Origin")):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = f"Retry-After, {REQUEST_ID}"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
