"""Schema ids from a Confluent-compatible registry: a client for the few requests that are needed, and its book.

Why not confluent-kafka's own client: ``docs/decisions/0002-avro-without-confluents-serializers.md``.
"""

import base64
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import aiohttp

from pipeline.config import KafkaSettings
from pipeline.errors import ConfigurationError, IncompatibleSchema, Unavailable
from pipeline.events.releases import AvroSchema, compact, read_lock, read_release
from pipeline.events.schemas import SchemaBook
from pipeline.resources import resource_dir

CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
TIMEOUT_SECONDS = 10.0
FORGET_UNKNOWN_SECONDS = 60.0
"""How long the registry is not asked again about an id that it did not know."""
MAX_UNKNOWN = 1024
"""Ids remembered as unknown; garbage may name any."""

Answer = tuple[int, Mapping[str, Any]]


class Registry:
    """Speaks to one registry. User and password in the URL are sent as basic authentication.

    Every method raises `Unavailable` when the registry does not answer or answers with an error of its own, and
    `ConfigurationError` when it refuses the credentials.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url.rstrip("/"))
        self._headers = {"Accept": CONTENT_TYPE, "Content-Type": CONTENT_TYPE}
        if parts.username:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        self.url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    async def schema(self, schema_id: int) -> AvroSchema | None:
        """The Avro schema of that id, None when the registry has none."""
        status, answer = await self._ask("GET", f"/schemas/ids/{schema_id}")
        if status == 404 or answer.get("schemaType", "AVRO") != "AVRO":
            return None
        schema = json.loads(answer.get("schema", "null"))
        return schema if isinstance(schema, dict) else None

    async def lookup(self, subject: str, schema: AvroSchema) -> int | None:
        """The id of exactly this schema under `subject`, None when it is not registered there."""
        status, answer = await self._ask("POST", f"/subjects/{quote(subject, safe='')}", {"schema": compact(schema)})
        return None if status == 404 else int(answer["id"])

    async def register(self, subject: str, schema: AvroSchema) -> int:
        """Add a version to `subject`, or find it there; returns its id.

        Raises:
            IncompatibleSchema: readers or writers of an earlier version could not follow.
        """
        path = f"/subjects/{quote(subject, safe='')}/versions"
        status, answer = await self._ask("POST", path, {"schema": compact(schema)})
        if status in (409, 422):
            raise IncompatibleSchema(f"the registry refuses {subject}: {answer.get('message', status)}")
        return int(answer["id"])

    async def require(self, subject: str, level: str) -> None:
        """Set the compatibility level of `subject`, which need not exist yet."""
        await self._ask("PUT", f"/config/{quote(subject, safe='')}", {"compatibility": level})

    async def level(self, subject: str) -> str:
        """The compatibility level that changes of `subject` are held to, its own or the registry's."""
        _, answer = await self._ask("GET", f"/config/{quote(subject, safe='')}?defaultToGlobal=true")
        return str(answer.get("compatibilityLevel", "NONE"))

    async def accepts(self, subject: str, schema: AvroSchema) -> bool:
        """Whether this schema could be registered under `subject`; nothing is."""
        path = f"/compatibility/subjects/{quote(subject, safe='')}/versions/latest"
        status, answer = await self._ask("POST", path, {"schema": compact(schema)})
        return status == 404 or bool(answer.get("is_compatible", False))

    async def _ask(self, method: str, path: str, body: Mapping[str, str] | None = None) -> Answer:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        data = None if body is None else json.dumps(body)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers=self._headers) as session,
                session.request(method, self.url + path, data=data) as response,
            ):
                return response.status, self._check(response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(
                f"cannot reach the schema registry at {self.url}: {str(error) or 'no answer'}. "
                "Set PIPELINE_KAFKA__SCHEMA_REGISTRY_URL to its address, or unset it to use the lock file."
            ) from error

    def _check(self, status: int, body: bytes) -> Mapping[str, Any]:
        if status in (401, 403):
            raise ConfigurationError(
                f"the schema registry at {self.url} refuses the credentials ({status}): "
                "put user and password into PIPELINE_KAFKA__SCHEMA_REGISTRY_URL"
            )
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if status >= 500 or not isinstance(answer, dict) or (status >= 400 and status not in (404, 409, 422)):
            raise Unavailable(
                f"the schema registry at {self.url} answered {status}: {body[:200].decode(errors='replace')}"
            )
        return answer


class RegistryBook(SchemaBook):
    """Ids given out by a registry; what is not known yet is asked for once, and an unknown id once a minute."""

    def __init__(
        self,
        registry: Registry,
        current: Mapping[str, int],
        schemas: Mapping[int, AvroSchema],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(current, schemas)
        self._registry = registry
        self._clock = clock
        self._unknown_until: dict[int, float] = {}

    async def learn(self, schema_id: int) -> bool:
        if schema_id in self._schemas:
            return True
        if self._unknown_until.get(schema_id, 0.0) > self._clock():
            return False
        schema = await self._registry.schema(schema_id)
        if schema is None:
            if len(self._unknown_until) >= MAX_UNKNOWN:
                self._unknown_until.clear()
            self._unknown_until[schema_id] = self._clock() + FORGET_UNKNOWN_SECONDS
            return False
        self._schemas[schema_id] = schema
        return True


async def open_book(kafka: KafkaSettings, folder: Path | None = None) -> SchemaBook:
    """The book that the settings ask for: the registry's ids for our newest releases, or the lock file's.

    Raises:
        ConfigurationError: the registry does not have a schema of ours.
        Unavailable: the registry cannot be reached.
    """
    folder = folder or resource_dir("avro")
    if not kafka.schema_registry_url:
        return SchemaBook.from_lock(folder)
    return await _open_registry(Registry(kafka.schema_registry_url), folder)


async def _open_registry(registry: Registry, folder: Path) -> RegistryBook:
    """Older releases that the registry never saw were never written under it: only the newest must be there."""
    lock = read_lock(folder)
    current: dict[str, int] = {}
    schemas: dict[int, AvroSchema] = {}
    for record, releases in lock.schemas.items():
        subject = next(subject for subject, name in lock.subjects.items() if name == record)
        for release in releases:
            schema = read_release(folder, record, release)
            found = await registry.lookup(subject, schema)
            if found is not None:
                current[record] = found
                schemas[found] = schema
        if found is None:
            raise ConfigurationError(
                f"{registry.url} does not have version {releases[-1].version} of {record} under {subject}: "
                "run `pipeline schemas register`"
            )
    return RegistryBook(registry, current, schemas)
