"""The aiohttp application: the routes of all areas, each behind the door."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from pipeline.config import GatewaySettings
from pipeline.gateway.admission import Admission
from pipeline.gateway.auth.gate import Gate
from pipeline.gateway.binding import Binder
from pipeline.gateway.envelope import dress, request_id_key
from pipeline.gateway.openapi import add_description
from pipeline.gateway.routes import Call, Route, Routes
from pipeline.gateway.traced import tracing_middleware
from pipeline.observability.health import Health
from pipeline.observability.http import add_health_routes
from pipeline.observability.metrics import Metrics
from pipeline.observability.tracing import Tracing


@dataclass(frozen=True, kw_only=True)
class Door:
    """What stands before every route: who is calling, how often they may, how much is under way."""

    gate: Gate
    admission: Admission
    settings: GatewaySettings


def make_application(
    areas: Sequence[Routes],
    door: Door,
    health: Health,
    metrics: Metrics,
    *,
    public_url: str,
    tracing: Tracing | None = None,
) -> web.Application:
    """An application that serves the routes of `areas`, their description, health and metrics."""
    application = web.Application(client_max_size=door.settings.max_body_bytes)
    dress(application, door.settings.origins, metrics, https=public_url.startswith("https://"))
    if tracing:
        application.middlewares.append(tracing_middleware(tracing))
    routes = [route for area in areas for route in area]
    for route in routes:
        application.router.add_route(route.method, route.path, guarded(route, door))
    add_description(application, routes, public_url)
    add_health_routes(application, health, metrics)
    return application


def guarded(route: Route, door: Door) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The route's handler for aiohttp: admitted, known, allowed, then bound and called."""
    binder = Binder(route, door.settings.max_body_bytes, door.settings.body_timeout)
    access = route.access

    async def handle(request: web.Request) -> web.StreamResponse:
        with door.admission.enter(binder.body_size(request)):
            caller = None
            if access is not None:
                caller = await door.gate.caller(request.headers)
                access.check(caller, request.match_info.get("user_id"))
            return await binder.call(Call(caller, request[request_id_key], request))

    return handle
