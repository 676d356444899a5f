"""From a request to a handler's arguments, and from what it returns to the answer."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from pipeline.events.canonical import Problem
from pipeline.gateway.problems import Refused, bad_request
from pipeline.gateway.routes import Call, Route

_PLACE = re.compile(r"^(.*?)(?: - at `(?:key in )?\$(.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


class Binder:
    """Calls one route's handler. `max_body_bytes` and `body_timeout` (s) bound what is read."""

    def __init__(self, route: Route, max_body_bytes: int, body_timeout: float) -> None:
        self._route = route
        self._signature = route.signature
        self._accepted = tuple(route.request or route.content_types)
        self._status = route.status
        self._limit = min(max_body_bytes, route.max_body_bytes or max_body_bytes)
        self._timeout = body_timeout
        body = self._signature.body
        self._decoder = msgspec.json.Decoder(body) if body not in (None, bytes) else None
        self._encode = msgspec.json.Encoder().encode

    def body_size(self, request: web.Request) -> int:
        """Bytes to set aside for the body: the most it may become where its length is not known before.

        Raises:
            Refused: 413 for a body that says itself that it is too long.
        """
        if self._signature.body is None:
            return 0
        length = request.content_length
        if length is not None and length > self._limit:
            raise Refused(413, f"The body has {length} bytes, at most {self._limit} are accepted.")
        return self._limit if length is None or "Content-Encoding" in request.headers else length

    async def call(self, call: Call) -> web.StreamResponse:
        """Bind, call, answer.

        Raises:
            Refused: the request does not fit the route, or the handler refuses it.
        """
        arguments = self._arguments(call.request)
        if self._signature.body is not None:
            arguments["body"] = await self._body(call.request)
        if self._signature.takes_call:
            arguments["call"] = call
        return self._answer(await self._route.handler(**arguments), call.headers)

    def _arguments(self, request: web.Request) -> dict[str, Any]:
        arguments = {
            name: _convert(request.match_info[name], kind, f"/{name}") for name, kind in self._signature.path.items()
        }
        if self._signature.query is not None:
            arguments["query"] = _convert(dict(request.query), self._signature.query, "")
        return arguments

    async def _body(self, request: web.Request) -> object:
        if request.headers.get("Content-Type") not in self._accepted:  # most say it so; the others are parsed
            self._check_type(request)
        try:
            if request.content.is_eof():  # it came with its head, as short ones do: a timer costs more than to take it
                raw = await request.read()
            else:
                async with asyncio.timeout(self._timeout):
                    raw = await request.read()
        except TimeoutError:
            raise Refused(408, f"The body did not come in within {self._timeout:g} s.") from None
        except web.HTTPRequestEntityTooLarge:
            raise Refused(413, f"The body has more than {self._limit} bytes.") from None
        if len(raw) > self._limit:
            raise Refused(413, f"The body has more than {self._limit} bytes.")
        return raw if self._decoder is None else decode(self._decoder, raw)

    def _check_type(self, request: web.Request) -> None:
        if request.content_type not in self._accepted or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
            raise Refused(415, f"Content-Type must be one of {', '.join(self._accepted)}, in UTF-8.")

    def _answer(self, result: object, headers: Mapping[str, str]) -> web.StreamResponse:
        if isinstance(result, web.StreamResponse):
            return result
        if result is None:
            return web.Response(status=204, headers=headers)
        named = {"Content-Type": "application/json", **headers}
        return web.Response(body=self._encode(result), status=self._status, headers=named)


def decode(decoder: msgspec.json.Decoder[Any], raw: bytes) -> object:
    """What the decoder makes of JSON.

    Raises:
        Refused: 400, with a pointer to what is wrong.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise bad_request([explain(error)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request([Problem("", f"is not JSON: {error}")]) from None
    except RecursionError:
        raise bad_request([Problem("", "is nested too deeply")]) from None


def _convert(value: object, kind: Any, at: str) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        problem = explain(error)
        raise bad_request([Problem(f"{at}{problem.pointer}", problem.text)]) from None


def explain(error: msgspec.ValidationError) -> Problem:
    """Msgspec's ``… - at `$.a[0].b` `` as a problem with a JSON pointer."""
    match = _PLACE.match(str(error))
    assert match
    steps = (name or index for name, index in _STEP.findall(match[2] or ""))
    pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
    return Problem(pointer, match[1])
