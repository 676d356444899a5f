"""OpenAPI 3.1, made from the routes and the types of their handlers, and a page to try it."""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from importlib.resources import files
from types import NoneType, UnionType
from typing import Any, get_args

import msgspec
from aiohttp import web

from pipeline.events.json_schema import JsonSchema
from pipeline.gateway.problems import CONTENT_TYPE, ProblemDetails
from pipeline.gateway.routes import Route, Signature

_REF = "#/components/schemas/{name}"
_PAGE_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'"


def describe(routes: Sequence[Route], public_url: str) -> dict[str, Any]:
    """The OpenAPI document of `routes`."""
    signatures = [route.signature for route in routes]
    kinds = [kind for signature in signatures for kind in _kinds(signature)]
    schemas, components = msgspec.json.schema_components([*kinds, ProblemDetails], ref_template=_REF)
    known = dict(zip(map(repr, [*kinds, ProblemDetails]), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route, signature in zip(routes, signatures, strict=True):
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, signature, known, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Notification gateway",
            "version": version("notification-pipeline"),
            "description": "Accepts events, and keeps what people want to be told and how.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}, {"url": public_url}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or an end user's JWT."},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _kinds(signature: Signature) -> Iterator[Any]:
    yield from signature.path.values()
    if signature.query is not None:
        yield signature.query
    if signature.body not in (None, bytes):
        yield signature.body
    if signature.result not in (None, NoneType) and not _is_response(signature.result):
        yield from _members(signature.result)


def _members(kind: Any) -> Sequence[Any]:
    """Of a union of structs each: msgspec makes no schema of one without tags, which an answer does not need."""
    return get_args(kind) if isinstance(kind, UnionType) else [kind]


def _result(kind: Any, known: Mapping[str, JsonSchema]) -> JsonSchema:
    schemas = [known[repr(member)] for member in _members(kind)]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _is_response(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, web.StreamResponse)


def _operation(
    route: Route, signature: Signature, known: Mapping[str, JsonSchema], components: Mapping[str, JsonSchema]
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "tags": [route.tag],
        "summary": route.summary,
        "responses": _responses(route, signature, known),
    }
    if route.handler.__doc__:
        operation["description"] = route.handler.__doc__.partition("\n\n")[0]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": known[repr(kind)]}
        for name, kind in signature.path.items()
    ]
    if signature.query is not None:
        parameters += _query(components[signature.query.__name__])
    if parameters:
        operation["parameters"] = parameters
    if content := _content(route, signature, known):
        operation["requestBody"] = {"required": True, "content": content}
    operation["security"] = [{"bearer": []}, {"key": []}] if route.access else []
    return operation


def _query(schema: JsonSchema) -> list[dict[str, Any]]:
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": value}
        for name, value in schema["properties"].items()
    ]


def _content(route: Route, signature: Signature, known: Mapping[str, JsonSchema]) -> dict[str, Any]:
    if signature.body is None:
        return {}
    if route.request:
        return {kind: {"schema": schema} for kind, schema in route.request.items()}
    return {kind: {"schema": known[repr(signature.body)]} for kind in route.content_types}


def _responses(route: Route, signature: Signature, known: Mapping[str, JsonSchema]) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if signature.result is NoneType:
        responses["204"] = {"description": "Done."}
    elif not _is_response(signature.result):
        content = {"application/json": {"schema": _result(signature.result, known)}}
        responses[str(route.status)] = {"description": HTTPStatus(route.status).phrase, "content": content}
    for status in sorted({*_usual_problems(route, signature), *route.problems}):
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {CONTENT_TYPE: {"schema": _REF_PROBLEM}},
            **({"headers": _RETRY_AFTER} if status in (429, 503) else {}),
        }
    for status, kind in route.answers.items():
        answer = responses.setdefault(str(status), {"description": HTTPStatus(status).phrase})
        if kind:
            answer.setdefault("content", {})[kind] = {"schema": {"type": "string"}}
    return responses


_REF_PROBLEM = {"$ref": _REF.format(name=ProblemDetails.__name__)}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}}


def _usual_problems(route: Route, signature: Signature) -> Iterator[int]:
    yield 503
    if route.access:
        yield from (401, 403, 429)
    if signature.path or signature.query:
        yield 400
    if signature.body is not None:
        yield from (400, 408, 413, 415)


def add_description(application: web.Application, routes: Sequence[Route], public_url: str) -> None:
    """Serve ``/openapi.json`` and ``/docs``, which loads nothing from anywhere else."""
    document = msgspec.json.encode(describe(routes, public_url))
    page = files(__package__).joinpath("page")

    async def openapi(_request: web.Request) -> web.Response:
        return web.Response(body=document, content_type="application/json")

    def serve(path: str, name: str, content_type: str) -> None:
        text = page.joinpath(name).read_text(encoding="utf-8")

        async def answer(_request: web.Request) -> web.Response:
            headers = {"Content-Security-Policy": _PAGE_POLICY}
            return web.Response(text=text, content_type=content_type, headers=headers)

        application.router.add_get(path, answer)

    application.router.add_get("/openapi.json", openapi)
    serve("/docs", "docs.html", "text/html")
    serve("/docs/docs.js", "docs.js", "text/javascript")
    serve("/docs/docs.css", "docs.css", "text/css")
