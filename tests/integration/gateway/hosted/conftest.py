"""One gateway for a module: each test has people and notifications of its own, and nothing else is shared."""

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml
from pydantic import SecretStr

from pipeline.channels.unsubscribe import PreferenceLink, Unsubscribe, sign, sign_preferences
from pipeline.config import (
    CatalogueSettings,
    EmailSettings,
    GatewaySettings,
    KafkaSettings,
    PostgresSettings,
    RedisSettings,
    Settings,
    TrackingSettings,
)
from pipeline.embedded.valkey import Valkey
from pipeline.events.references import Reference
from pipeline.events.vocabulary import Channel, Priority
from pipeline.gateway.service import now_ms, open_gateway
from pipeline.kafka.topology import apply_topics
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.runtime import Runtime
from pipeline.storage.api_keys import ApiKeys
from pipeline.storage.postgres import Pool, open_pool
from tests.databases import make_anew, new_database
from tests.integration.gateway.conftest import CATALOGUE, Desk

UNSUBSCRIBE_SECRET = "unsubscribe-secret-of-these-tests"
TRACKING_SECRET = "tracking-secret-of-these-tests"


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with a second marketing category, so that there is something to stop as a whole."""
    text = yaml.safe_load(CATALOGUE.read_text("utf-8"))
    text["categories"]["surveys"] = {"stream": "marketing", "title": {"en": "Surveys"}}
    text["event_types"]["survey.*"] = {"category": "surveys", "channels": ["email", "push"]}
    path = tmp_path_factory.mktemp("catalogue") / "catalogue.yaml"
    path.write_text(yaml.safe_dump(text), "utf-8")
    return path


@pytest.fixture(scope="module")
def database(postgres_dsn: str, migrated: str) -> Iterator[PostgresSettings]:
    with new_database(postgres_dsn) as dsn:
        make_anew(dsn, template=migrated)
        yield PostgresSettings(dsn=SecretStr(dsn))


@pytest.fixture(scope="module")
def hosted(kafka_settings: KafkaSettings, valkey: Valkey, database: PostgresSettings, catalogue: Path) -> Settings:
    apply_topics(kafka_settings, partitions=4, replication_factor=1)
    return Settings(
        kafka=kafka_settings,
        redis=RedisSettings(url=valkey.url),
        postgres=database,
        catalogue=CatalogueSettings(path=catalogue),
        gateway=GatewaySettings(port=0),
        email=EmailSettings(unsubscribe_secret=SecretStr(UNSUBSCRIBE_SECRET)),
        tracking=TrackingSettings(secret=SecretStr(TRACKING_SECRET)),
    )


@dataclass(frozen=True)
class Guest:
    """Somebody with an address, who has agreed to marketing; their links, and calls on their behalf."""

    user_id: str
    desk: Desk
    pool: Pool

    @property
    def path(self) -> str:
        return f"/v1/users/{self.user_id}"

    @property
    def url(self) -> str:
        return self.desk.url

    def reference(self, category: str = "marketing") -> Reference:
        """Of another notification each time."""
        return Reference(
            notification_id=str(uuid.uuid4()),
            event_id=uuid.uuid4().hex,
            idempotency_key="key",
            recipient_id=self.user_id,
            event_type="marketing.newsletter",
            category=category,
            source="shop",
            channel=Channel.EMAIL,
            priority=Priority.LOW,
            stream="marketing" if category == "marketing" else "transactional",
            rule="allowed",
            policy_version="1",
            created_at=1,
        )

    def unsubscribe(self, category: str = "marketing", reference: Reference | None = None) -> str:
        claim = Unsubscribe(self.user_id, category, Channel.EMAIL, reference)
        return "/u/" + sign(claim, UNSUBSCRIBE_SECRET.encode())

    def preferences(self, age: float = 0, reference: Reference | None = None) -> str:
        """A link to the preference page that was made `age` seconds ago."""
        link = PreferenceLink(self.user_id, now_ms() - int(age * 1000), reference)
        return "/p/" + sign_preferences(link, UNSUBSCRIBE_SECRET.encode())

    async def change(self, **body: object) -> None:
        answer = await self.desk.call("PATCH", f"{self.path}/preferences", json=body)
        assert answer.status == 200, answer

    async def is_on(self, type_: str, channel: str = "email") -> tuple[bool, str]:
        """What the router would decide, and why."""
        path = f"{self.path}/preferences?type={type_}&channel={channel}"
        (found,) = (await self.desk.call("GET", path)).json["effective"]
        return found["enabled"], found["reason"]

    async def rows(self, query: str) -> list[dict[str, Any]]:
        """What is stored of them; `$1` is their id."""
        return [dict(row) for row in await self.pool.fetch(query, self.user_id)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(hosted: Settings) -> AsyncIterator[Desk]:
    runtime = Runtime(hosted, Health("service"), Metrics())
    async with (
        await open_pool(hosted.postgres) as pool,
        open_gateway(runtime) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Desk(url, runtime, session, ApiKeys(pool))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(hosted: Settings) -> AsyncIterator[Pool]:
    async with await open_pool(hosted.postgres) as pool:
        yield pool


async def arrive(desk: Desk, pool: Pool) -> Guest:
    guest = Guest(f"guest-{uuid.uuid4().hex[:8]}", desk, pool)
    profile = {"email": f"{guest.user_id}@example.com", "locale": "en-GB", "timezone": "Europe/London"}
    assert (await desk.call("PUT", guest.path, json=profile)).status == 200
    await guest.change(consents={"marketing": True})
    return guest


@pytest_asyncio.fixture(loop_scope="module")
async def guest(desk: Desk, pool: Pool) -> Guest:
    return await arrive(desk, pool)


@pytest_asyncio.fixture(loop_scope="module")
async def another(desk: Desk, pool: Pool) -> Guest:
    return await arrive(desk, pool)
