"""A span for each request of the interface; what follows from it on Kafka belongs to the same trace."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from pipeline.kafka.names import Header
from pipeline.observability.tracing import Tracing

INTERFACE = "/v1/"
"""Probes and scrapes are no requests of anybody."""

traceparent_key = web.RequestKey("traceparent", str)


def tracing_middleware(tracing: Tracing) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource is None or not resource.canonical.startswith(INTERFACE):
            return await handler(request)
        attributes = {"http.request.method": request.method, "http.route": resource.canonical}
        name, came = f"{request.method} {resource.canonical}", request.headers.get(Header.TRACEPARENT, "")
        with tracing.serving(name, came, attributes) as span:
            request[traceparent_key] = tracing.traceparent_of(span)
            response = await handler(request)
            span.set_attribute("http.response.status_code", response.status)
            return response

    return middleware


def traceparent_of(request: web.Request) -> str:
    """What the records that follow from the request carry; empty: the caller traces nothing, and we do not either."""
    came: str = request.headers.get(Header.TRACEPARENT, "")
    return request.get(traceparent_key) or came
