"""What a route is: the one description that the server, the checks and ``/openapi.json`` are made from."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, get_type_hints

import msgspec
from aiohttp import web
from msgspec import Meta

from pipeline.events.json_schema import JsonSchema
from pipeline.gateway.access import Access, Caller

Handler = Callable[..., Awaitable[object]]

_PARAMETER = re.compile(r"{(\w+)}")

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\u0000]*$")]
"""An id or a short name: 1 to 255 characters, no NUL."""


@dataclass(frozen=True, slots=True)
class Call:
    """The circumstances of one call. `caller` is None only on public routes. `headers` go with the answer."""

    caller: Caller | None
    request_id: str
    request: web.Request
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def actor(self) -> str:
        return self.caller.actor if self.caller else "anonymous"

    @property
    def content_type(self) -> str:
        return self.request.content_type


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method of one path.

    The handler's annotated parameters say what it is given, by name: those of the path; `query` (a struct), `body` (a
    struct from JSON, or bytes as they came), `call`. It returns a struct, None for no content, or a response of its
    own. `access` None: public, or signed in a way of its own. `problems` are statuses beyond those that every route
    of its kind has. `request` says by content type what a body of bytes looks like. `answers` are what responses of
    its own look like: content type (empty: none) by status. `max_body_bytes`: less than the gateway takes elsewhere.
    """

    method: str
    path: str
    handler: Handler
    access: Access | None
    summary: str
    tag: str
    status: int = 200
    problems: tuple[int, ...] = ()
    content_types: tuple[str, ...] = ("application/json",)
    request: Mapping[str, JsonSchema] = field(default_factory=dict)
    answers: Mapping[int, str] = field(default_factory=dict)
    max_body_bytes: int | None = None

    @property
    def signature(self) -> "Signature":
        return Signature.of(self)


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What a handler takes and gives, by its annotations."""

    path: Mapping[str, Any]
    query: type[msgspec.Struct] | None
    body: Any
    takes_call: bool
    result: Any

    @classmethod
    def of(cls, route: Route) -> "Signature":
        hints = get_type_hints(route.handler, include_extras=True)
        result = hints.pop("return")
        in_path = _PARAMETER.findall(route.path)
        unknown = set(hints) - {*in_path, "query", "body", "call"}
        if unknown or set(in_path) - set(hints):
            raise TypeError(f"{route.method} {route.path}: parameters of the handler do not fit: {sorted(hints)}")
        return cls(
            path={name: hints[name] for name in in_path},
            query=hints.get("query"),
            body=hints.get("body"),
            takes_call="call" in hints,
            result=result,
        )


Routes = Sequence[Route]
