import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner

from pipeline.cli.schemas import app as schemas_cli
from pipeline.config import KafkaSettings
from pipeline.errors import ConfigurationError, IncompatibleSchema, Unavailable
from pipeline.events.codec import Codec
from pipeline.events.records import NotificationRequested
from pipeline.events.registry import Registry, RegistryBook, open_book
from pipeline.events.releases import compact, read_lock
from pipeline.events.schemas import SchemaBook
from pipeline.resources import resource_dir
from pipeline.testing.registry import SchemaRegistry

INGEST_SUBJECT = "notifications.ingest-value"
EVENT = NotificationRequested(
    event_id="e",
    event_type="t",
    recipient_id="u",
    channels=[],
    priority=None,
    data="{}",
    idempotency_key="k",
    created_at=1_771_840_800_000,
)


class Served:
    """A registry behind HTTP, and how often it was asked."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self.registry = registry
        self.asked: list[str] = []
        app = registry.app()
        app.on_response_prepare.append(self._count)
        self.server = TestServer(app)

    async def _count(self, request: web.Request, _response: web.StreamResponse) -> None:
        self.asked.append(request.path)

    @property
    def url(self) -> str:
        return str(self.server.make_url("/"))


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    served = Served(SchemaRegistry())
    await served.server.start_server()
    yield served
    await served.server.close()


async def register_by_command(url: str) -> dict[str, dict[str, str | int]]:
    result = await asyncio.to_thread(CliRunner().invoke, schemas_cli, ["register", "--url", url, "--json"])
    assert result.exit_code == 0, result.output
    answer: dict[str, dict[str, str | int]] = json.loads(result.stdout)
    return answer


async def test_register_puts_every_subject_there_and_twice_is_once(served: Served) -> None:
    first = await register_by_command(served.url)
    assert set(first) == set(read_lock(resource_dir("avro")).subjects)
    assert len({entry["id"] for entry in first.values() if entry["record"] == "Dispatch"}) == 1
    assert await register_by_command(served.url) == first
    assert all(len(served.registry.versions(subject)) == 1 for subject in first)
    assert served.registry.level(INGEST_SUBJECT) == "FULL_TRANSITIVE"


async def test_the_registry_refuses_what_our_own_check_refuses(served: Served) -> None:
    await register_by_command(served.url)
    schema = dict(SchemaBook.from_lock().schema_of("NotificationRequested"))
    broken = {**schema, "fields": [{"name": "tenant", "type": "string"}, *schema["fields"]]}
    with pytest.raises(IncompatibleSchema, match=r"notifications\.ingest-value.*tenant"):
        await Registry(served.url).register(INGEST_SUBJECT, broken)


async def test_records_carry_the_ids_of_the_registry(served: Served) -> None:
    for number in range(3):
        served.registry.register(
            f"other-{number}", json.dumps({"type": "record", "name": f"Other{number}", "fields": []})
        )
    ids = await register_by_command(served.url)
    book = await open_book(KafkaSettings(schema_registry_url=served.url))
    codec = Codec.open(book)
    value = codec.encode_event(EVENT)
    assert (
        int.from_bytes(value[1:5], "big")
        == ids[INGEST_SUBJECT]["id"]
        != SchemaBook.from_lock().id_of("NotificationRequested")
    )
    assert codec.decode_event(value).event == EVENT


async def test_a_producers_own_version_is_learned_once_and_its_records_are_read(served: Served) -> None:
    await register_by_command(served.url)
    book = await open_book(KafkaSettings(schema_registry_url=served.url))
    codec = Codec.open(book)
    schema = dict(book.schema_of("NotificationRequested"))
    newer = {**schema, "fields": [*schema["fields"], {"name": "tenant", "type": "string", "default": ""}]}
    new_id = await Registry(served.url).register(INGEST_SUBJECT, newer)
    value = b"\0" + new_id.to_bytes(4, "big") + codec.encode_event(EVENT)[5:] + b"\x06abc"
    served.asked.clear()
    assert await book.learn(new_id)
    assert await book.learn(new_id)
    assert served.asked == [f"/schemas/ids/{new_id}"]
    decoded = codec.decode_event(value)
    assert (decoded.event, decoded.body) == (EVENT, codec.encode_event(EVENT)[5:])


async def test_an_unknown_id_is_asked_for_once_a_minute(served: Served) -> None:
    now = 0.0
    book = RegistryBook(Registry(served.url), {}, {}, clock=lambda: now)
    assert [await book.learn(4711), await book.learn(4711)] == [False, False]
    assert len(served.asked) == 1
    now = 61.0
    assert not await book.learn(4711)
    assert len(served.asked) == 2


async def test_a_registry_without_our_schemas_says_to_register_them(served: Served) -> None:
    with pytest.raises(ConfigurationError, match="pipeline schemas register"):
        await open_book(KafkaSettings(schema_registry_url=served.url))


async def test_a_registry_that_is_away_is_unavailable_and_its_password_is_not_told() -> None:
    book = RegistryBook(Registry("http://user:secret@127.0.0.1:1"), {}, {})
    with pytest.raises(Unavailable, match="PIPELINE_KAFKA__SCHEMA_REGISTRY_URL") as caught:
        await book.learn(1)
    assert "secret" not in str(caught.value)


async def test_user_and_password_of_the_url_are_sent_and_a_refusal_is_a_setting_to_change() -> None:
    async def handler(request: web.Request) -> web.Response:
        known = request.headers.get("Authorization") == "Basic dXNlcjpwQHNz"
        return web.json_response({"schema": '{"name":"X"}'} if known else {}, status=200 if known else 401)

    app = web.Application()
    app.router.add_get("/schemas/ids/1", handler)
    async with TestServer(app) as server:
        address = f"{server.host}:{server.port}"
        assert await Registry(f"http://user:p%40ss@{address}").schema(1) == {"name": "X"}
        with pytest.raises(ConfigurationError, match="refuses the credentials"):
            await Registry(f"http://{address}").schema(1)


async def test_the_lock_file_served_read_only_gives_clients_our_ids() -> None:
    book = SchemaBook.from_lock()
    async with TestServer(SchemaRegistry.from_lock().app()) as server:
        url = str(server.make_url("/"))
        registry = Registry(url)
        schema = book.schema_of("Dispatch")
        subject = "notifications.push.high-value"
        assert await registry.lookup(subject, schema) == book.id_of("Dispatch")
        assert await registry.register(subject, schema) == book.id_of("Dispatch")
        assert await registry.schema(book.id_of("Dispatch")) == schema
        with pytest.raises(IncompatibleSchema, match="read-only"):
            await registry.register("other", schema)
        async with ClientSession() as session, session.get(f"{url}subjects/{subject}/versions/9") as response:
            assert (response.status, (await response.json(content_type=None))["error_code"]) == (404, 40402)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_confluents_own_client_gets_the_same_ids_and_schemas_as_ours(served: Served) -> None:
    pytest.importorskip("authlib", reason="confluent-kafka's registry client needs authlib and httpx")
    from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

    schema = SchemaBook.from_lock().schema_of("NotificationRequested")

    def ask() -> tuple[int, int | None, str]:
        with SchemaRegistryClient({"url": served.url}) as client:
            registered = client.register_schema(INGEST_SUBJECT, Schema(compact(schema), "AVRO"))
            latest = client.get_latest_version(INGEST_SUBJECT)
            return registered, latest.schema_id, str(client.get_schema(registered).schema_str)

    registered, latest, text = await asyncio.to_thread(ask)
    assert registered == latest == await Registry(served.url).lookup(INGEST_SUBJECT, schema)
    assert json.loads(text) == schema
