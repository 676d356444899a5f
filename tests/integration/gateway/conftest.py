"""A gateway over real servers, and callers of every kind."""

import asyncio
import io
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
from pydantic import SecretStr

from pipeline.config import (
    CatalogueSettings,
    DeviceSettings,
    GatewaySettings,
    JwtSettings,
    KafkaSettings,
    PostgresSettings,
    RedisSettings,
    Settings,
)
from pipeline.events.codec import Codec
from pipeline.events.records import NotificationRequested
from pipeline.gateway.auth.keys import SECRET_BYTES, format_key, hash_secret
from pipeline.gateway.service import open_gateway
from pipeline.kafka.names import INGEST
from pipeline.kafka.reader import read_topics
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.runtime import Runtime
from pipeline.storage.api_keys import ApiKeys, NewApiKey
from pipeline.storage.postgres import Pool

SECRET = "only-for-these-tests-" + "x" * 32
CATALOGUE = Path(__file__).parents[3] / "examples" / "catalogue.yaml"


@dataclass(frozen=True)
class Answer:
    """What came back. `json` is None where there is no content."""

    status: int
    headers: Mapping[str, str]
    json: Any


@dataclass
class Desk:
    """Calls the gateway. `runtime` is its inside."""

    url: str
    runtime: Runtime
    session: aiohttp.ClientSession
    keys: ApiKeys
    made: dict[str, str] = field(default_factory=dict)

    async def key(self, *scopes: str, rate: float = 10_000, burst: int = 10_000, quota: int | None = None) -> str:
        secret = secrets.token_bytes(SECRET_BYTES)
        new = NewApiKey(
            key_id=secrets.token_hex(6),
            name="shop",
            scopes=list(scopes),
            secret_hash=hash_secret(secret),
            rate=rate,
            burst=burst,
            daily_quota=quota,
        )
        return format_key((await self.keys.add(new)).key_id, secret)

    async def as_service(self, scope: str) -> dict[str, str]:
        if scope not in self.made:
            self.made[scope] = await self.key(scope)
        return {"Authorization": f"Bearer {self.made[scope]}"}

    async def call(
        self,
        method: str,
        path: str,
        *,
        scope: str = "admin",
        headers: Mapping[str, str] | None = None,
        json: object = None,
        data: bytes | None = None,
    ) -> Answer:
        """`headers` None: as a service with `scope`."""
        sent = await self.as_service(scope) if headers is None else headers
        stream = None if data is None else io.BytesIO(data)  # aiohttp warns of long bytes
        async with self.session.request(method, self.url + path, headers=sent, json=json, data=stream) as response:
            body = await response.read()
            is_json = "json" in response.headers.get("Content-Type", "")
            return Answer(
                response.status, response.headers, await response.json(content_type=None) if is_json and body else None
            )

    async def post_event(self, body: object, **headers: str) -> Answer:
        return await self.call("POST", "/v1/events", headers={**await self.as_service("ingest"), **headers}, json=body)


def user_token(user_id: str, **claims: object) -> str:
    payload = {"sub": user_id, "aud": "notifications", "exp": int(time.time()) + 300, **claims}
    return jwt.encode({k: v for k, v in payload.items() if v is not None}, SECRET, "HS256")


def as_user(user_id: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {user_token(user_id)}"}


def event(**fields: object) -> dict[str, Any]:
    """A canonical event that the example catalogue takes."""
    return {
        "event_type": "order.shipped",
        "recipient_id": "alice",
        "idempotency_key": "order-1-shipped",
        "data": {"order_id": "1"},
        **fields,
    }


@pytest.fixture
def gateway_settings() -> GatewaySettings:
    """Override in a module to set other things."""
    return GatewaySettings(port=0, jwt=JwtSettings(hs256_secret=SecretStr(SECRET)))


@pytest.fixture
def settings(
    empty_topics: KafkaSettings, redis_url: str, postgres_settings: PostgresSettings, gateway_settings: GatewaySettings
) -> Settings:
    return Settings(
        kafka=empty_topics,
        redis=RedisSettings(url=redis_url),
        postgres=postgres_settings,
        catalogue=CatalogueSettings(path=CATALOGUE),
        gateway=gateway_settings,
        devices=DeviceSettings(max_per_user=5),
    )


@pytest.fixture
async def desk(settings: Settings, pool: Pool) -> AsyncIterator[Desk]:
    runtime = Runtime(settings, Health("service"), Metrics())
    async with open_gateway(runtime) as url, aiohttp.ClientSession() as session:
        yield Desk(url, runtime, session, ApiKeys(pool))


@dataclass(frozen=True)
class Ingested:
    """One record of the ingest topic."""

    key: bytes
    event: NotificationRequested
    headers: Sequence[tuple[str, bytes]]


async def ingested(kafka: KafkaSettings) -> list[Ingested]:
    """Everything on the ingest topic."""
    codec = Codec.open()

    def read() -> list[Ingested]:
        return [
            Ingested(m.key() or b"", codec.decode_event(m.value()).event, m.headers() or [])  # type: ignore[arg-type]
            for batch in read_topics(kafka, [INGEST])
            for m in batch
        ]

    return await asyncio.to_thread(read)
