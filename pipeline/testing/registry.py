"""A schema registry in memory that speaks Confluent's HTTP, for tests and for clients of a laptop's stack.

Faithful where clients notice: paths, status and error codes, ids shared by equal schemas, compatibility levels. What
it does not have: references, deletion, contexts, schema types but Avro.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import fastavro
from aiohttp import web

from pipeline.events.compatibility import Break, backward
from pipeline.events.registry import CONTENT_TYPE
from pipeline.events.releases import AvroSchema, compact, read_lock, read_release
from pipeline.resources import resource_dir

DEFAULT_LEVEL = "BACKWARD"
LEVELS = {f"{level}{transitive}" for level in ("BACKWARD", "FORWARD", "FULL") for transitive in ("", "_TRANSITIVE")} | {
    "NONE"
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RegistryError(Exception):
    """An error as the registry's clients know it: a code whose first three digits are the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class SchemaRegistry:
    """The registry's state and rules. `app` serves it over HTTP."""

    def __init__(self) -> None:
        self.read_only = False
        self._ids: dict[str, int] = {}
        self._subjects: dict[str, list[int]] = {}
        self._levels: dict[str, str] = {}

    @classmethod
    def from_lock(cls, folder: Path | None = None) -> Self:
        """Our own releases under the ids of the lock file; nothing can be added."""
        folder = folder or resource_dir("avro")
        lock = read_lock(folder)
        registry = cls()
        for subject, record in lock.subjects.items():
            for release in lock.schemas[record]:
                registry._ids[compact(read_release(folder, record, release))] = release.id
                registry._subjects.setdefault(subject, []).append(release.id)
            registry._levels[subject] = "FULL_TRANSITIVE"
        registry.read_only = True
        return registry

    def subjects(self) -> list[str]:
        return sorted(self._subjects)

    def versions(self, subject: str) -> list[int]:
        """Ids of the versions of `subject`, version 1 first."""
        if subject not in self._subjects:
            raise RegistryError(40401, f"Subject '{subject}' not found.")
        return self._subjects[subject]

    def version(self, subject: str, version: str) -> dict[str, object]:
        ids = self.versions(subject)
        number = len(ids) if version in ("latest", "-1") else int(version) if version.isdigit() else 0
        if not 1 <= number <= len(ids):
            raise RegistryError(40402, f"Version {version} not found.")
        return self._describe(subject, number)

    def schema(self, schema_id: int) -> str:
        for text, known in self._ids.items():
            if known == schema_id:
                return text
        raise RegistryError(40403, f"Schema {schema_id} not found")

    def lookup(self, subject: str, text: str) -> dict[str, object]:
        ids = self.versions(subject)
        schema_id = self._ids.get(compact(_parse(text)))
        if schema_id not in ids:
            raise RegistryError(40403, "Schema not found")
        return self._describe(subject, ids.index(schema_id) + 1)

    def register(self, subject: str, text: str) -> int:
        schema = _parse(text)
        canonical = compact(schema)
        ids = self._subjects.get(subject, [])
        schema_id = self._ids.get(canonical)
        if schema_id is not None and schema_id in ids:
            return schema_id
        if self.read_only:
            raise RegistryError(42205, f"Subject {subject} is in read-only mode")
        if breaks := self.breaks(subject, schema):
            raise RegistryError(409, "Schema being registered is incompatible: " + "; ".join(map(str, breaks)))
        schema_id = self._ids.setdefault(canonical, len(self._ids) + 1)
        self._subjects.setdefault(subject, []).append(schema_id)
        return schema_id

    def level(self, subject: str) -> str:
        return self._levels.get(subject, DEFAULT_LEVEL)

    def set_level(self, subject: str, level: str) -> None:
        if level not in LEVELS:
            raise RegistryError(42203, f"Invalid compatibility level {level}")
        self._levels[subject] = level

    def breaks(self, subject: str, schema: AvroSchema) -> list[Break]:
        """What `schema` would break under the subject's compatibility level."""
        level = self.level(subject)
        earlier = self._subjects.get(subject, [])
        found: list[Break] = []
        for schema_id in earlier if level.endswith("_TRANSITIVE") else earlier[-1:]:
            old = _parse(self.schema(schema_id))
            if level.startswith(("BACKWARD", "FULL")):
                found += backward(schema, old)
            if level.startswith(("FORWARD", "FULL")):
                found += backward(old, schema)
        return found

    def app(self) -> web.Application:
        """The HTTP side."""
        app = web.Application(middlewares=[_errors_as_json])
        app.add_routes(_Routes(self).table())
        return app

    def _describe(self, subject: str, version: int) -> dict[str, object]:
        schema_id = self._subjects[subject][version - 1]
        return {"subject": subject, "version": version, "id": schema_id, "schema": self.schema(schema_id)}


class _Routes:
    """HTTP requests to calls of the registry."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry

    def table(self) -> list[web.RouteDef]:
        return [
            web.get("/subjects", self._subjects),
            web.post("/subjects/{subject}", self._lookup),
            web.get("/subjects/{subject}/versions", self._versions),
            web.post("/subjects/{subject}/versions", self._register),
            web.get("/subjects/{subject}/versions/{version}", self._version),
            web.post("/compatibility/subjects/{subject}/versions/{version}", self._compatible),
            web.get("/schemas/types", self._types),
            web.get(r"/schemas/ids/{id:\d+}", self._schema),
            web.get("/config", self._level),
            web.get("/config/{subject}", self._level),
            web.put("/config/{subject}", self._set_level),
        ]

    async def _subjects(self, _request: web.Request) -> web.Response:
        return _json(self._registry.subjects())

    async def _versions(self, request: web.Request) -> web.Response:
        return _json(list(range(1, len(self._registry.versions(_subject(request))) + 1)))

    async def _version(self, request: web.Request) -> web.Response:
        return _json(self._registry.version(_subject(request), request.match_info["version"]))

    async def _schema(self, request: web.Request) -> web.Response:
        return _json({"schema": self._registry.schema(int(request.match_info["id"]))})

    async def _lookup(self, request: web.Request) -> web.Response:
        return _json(self._registry.lookup(_subject(request), await _schema_text(request)))

    async def _register(self, request: web.Request) -> web.Response:
        return _json({"id": self._registry.register(_subject(request), await _schema_text(request))})

    async def _compatible(self, request: web.Request) -> web.Response:
        breaks = self._registry.breaks(_subject(request), _parse(await _schema_text(request)))
        return _json({"is_compatible": not breaks})

    async def _types(self, _request: web.Request) -> web.Response:
        return _json(["AVRO"])

    async def _level(self, request: web.Request) -> web.Response:
        return _json({"compatibilityLevel": self._registry.level(request.match_info.get("subject", ""))})

    async def _set_level(self, request: web.Request) -> web.Response:
        level = str((await _body(request)).get("compatibility", ""))
        self._registry.set_level(_subject(request), level)
        return _json({"compatibility": level})


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RegistryError as error:
        status = error.code if error.code < 1000 else error.code // 100
        return _json({"error_code": error.code, "message": str(error)}, status=status)


def _json(answer: object, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(answer), content_type=CONTENT_TYPE, status=status)


def _subject(request: web.Request) -> str:
    return request.match_info["subject"]


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RegistryError(42201, "The request is not a JSON object")
    return body


async def _schema_text(request: web.Request) -> str:
    body = await _body(request)
    if body.get("schemaType", "AVRO") != "AVRO":
        raise RegistryError(42201, "Only Avro schemas are kept here")
    return str(body.get("schema"))


def _parse(text: str) -> AvroSchema:
    try:
        schema = json.loads(text)
        fastavro.parse_schema(schema)
    except (ValueError, TypeError, fastavro.schema.SchemaParseException) as error:
        raise RegistryError(42201, f"Invalid schema: {error}") from None
    if not isinstance(schema, dict):
        raise RegistryError(42201, "Only record schemas are kept here")
    return schema
