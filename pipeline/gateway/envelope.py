"""Around every request: its id, security headers, CORS, errors as problem documents, metrics."""

import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping

import asyncpg
import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import Histogram

from pipeline.errors import Unavailable
from pipeline.gateway.problems import CONTENT_TYPE, Refused, unavailable
from pipeline.gateway.randomness import RandomIds
from pipeline.observability.metrics import Metrics
from pipeline.storage.redis import REDIS_AWAY

logger = logging.getLogger(__name__)

REQUEST_ID = "X-Request-ID"
_GIVEN_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_PREFLIGHT_SECONDS = 600

SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What OWASP's REST cheat sheet asks for; a handler's own header wins."""

_ALLOWED_HEADERS = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-API-Key, X-Request-ID, traceparent"
_EXPOSED_HEADERS = "Retry-After, X-Request-ID, Idempotent-Replayed"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

request_id_key = web.RequestKey("request_id", str)


def dress(application: web.Application, origins: frozenset[str], metrics: Metrics, *, https: bool) -> None:
    """Put the envelope around an application. `https`: it is reached by TLS, and browsers shall insist on that."""
    application.middlewares.append(_middleware(origins, metrics))
    extra = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"} if https else {}
    guards = tuple({**SECURITY_HEADERS, **extra}.items())

    async def finish(request: web.Request, response: web.StreamResponse) -> None:
        for name, value in guards:
            response.headers.setdefault(name, value)
        response.headers["Server"] = "notifications"  # which versions run here is nobody's business
        response.headers[REQUEST_ID] = request.get(request_id_key, "")
        if origins:
            response.headers.add("Vary", "Origin")
        if (origin := request.headers.get("Origin")) in origins:
            response.headers["Access-Control-Allow-Origin"] = origin or ""
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"

    application.on_response_prepare.append(finish)


def _middleware(origins: frozenset[str], metrics: Metrics) -> Middleware:
    timers: dict[tuple[str, int], Histogram] = {}

    def timer(request: web.Request, status: int) -> Histogram:
        """Looked up once for each route and status: a label costs more than what it counts."""
        resource = request.match_info.route.resource
        name = resource.canonical if resource else "none"
        found = timers.get((name, status))
        if found is None:
            found = timers[name, status] = metrics.gateway_seconds.labels(name, str(status))
        return found

    ids = RandomIds()

    @web.middleware
    async def envelope(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        request[request_id_key] = _request_id(request, ids)
        preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        response = _preflight(request, origins) if preflight else await _answer(request, handler)
        timer(request, response.status).observe(time.perf_counter() - began)
        return response

    return envelope


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return problem(request, Refused(error.status, f"{request.method} {request.path}: {error.reason}.", (), headers))
    except Exception as error:  # noqa: BLE001 - whatever it was, the caller gets a problem document
        return problem(request, _translate(request, error))


def _translate(request: web.Request, error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, (Unavailable, *REDIS_AWAY)):
        logger.warning("a server is away: %s", error, extra={"request_id": request[request_id_key]})
        return unavailable("A server that this needs is away.")
    if isinstance(error, asyncpg.DataError | asyncpg.CheckViolationError | UnicodeEncodeError):
        return Refused(400, "A value cannot be stored: text must be Unicode without NUL, and within the limits.")
    logger.error("a request failed", exc_info=error, extra={"request_id": request[request_id_key]})
    return Refused(500, "Something went wrong here; the request id leads to it in the log.")


def problem(request: web.Request, refused: Refused) -> web.Response:
    """The answer that a refusal is."""
    body = msgspec.json.encode(refused.document(request.get(request_id_key, "")))
    return web.Response(body=body, status=refused.status, headers=refused.headers, content_type=CONTENT_TYPE)


def _request_id(request: web.Request, ids: RandomIds) -> str:
    given = request.headers.get(REQUEST_ID)
    return given if given is not None and _GIVEN_ID.fullmatch(given) else ids.hex()


def _preflight(request: web.Request, origins: frozenset[str]) -> web.Response:
    if request.headers.get("Origin") not in origins:
        return problem(request, Refused(403, "This origin may not call: list it in gateway.cors_origins."))
    headers = {
        "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
        "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
        "Access-Control-Max-Age": str(_PREFLIGHT_SECONDS),
    }
    return web.Response(status=204, headers=headers)
