"""The API keys as they are at rest: everything but their secrets."""

from datetime import datetime, timedelta

import msgspec

from pipeline.storage.postgres import Pool, reachable
from pipeline.storage.scripts import sql


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key. `rate` in requests a second, `daily_quota` in events a day (UTC), None: unlimited.

    `previous_hash` is the secret before the last rotation, good until `previous_until`.
    """

    key_id: str
    name: str
    scopes: list[str]
    secret_hash: bytes
    previous_hash: bytes | None
    previous_until: datetime | None
    rate: float
    burst: int
    daily_quota: int | None
    created_at: datetime
    rotated_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None


class NewApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What a new key is to be, see `ApiKey`."""

    key_id: str
    name: str
    scopes: list[str]
    secret_hash: bytes
    rate: float
    burst: int
    daily_quota: int | None = None
    expires_at: datetime | None = None


class ApiKeys:
    """Reads and writes keys. All raise `Unavailable` when PostgreSQL is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def add(self, key: NewApiKey) -> ApiKey:
        added = await self._one(sql("add_api_key"), *msgspec.structs.astuple(key))
        assert added
        return added

    async def get(self, key_id: str) -> ApiKey | None:
        return await self._one(sql("get_api_key"), key_id)

    async def all(self) -> list[ApiKey]:
        """Every key, the oldest first; revoked ones too."""
        with reachable():
            rows = await self._pool.fetch(sql("list_api_keys"))
        return [ApiKey(**row) for row in rows]

    async def next_expiry(self) -> datetime | None:
        """When the next key ends that is in force; None: none of them has an end."""
        with reachable():
            ends_at: datetime | None = await self._pool.fetchval(sql("next_key_expiry"))
        return ends_at

    async def rotate(self, key_id: str, secret_hash: bytes, grace: timedelta) -> ApiKey | None:
        """Give the key another secret; the old one stays good for `grace`. None: there is none, or it is revoked."""
        return await self._one(sql("rotate_api_key"), key_id, secret_hash, grace)

    async def revoke(self, key_id: str) -> ApiKey | None:
        """Make it good for nothing, at once and for good. None: there is none."""
        return await self._one(sql("revoke_api_key"), key_id)

    async def _one(self, query: str, *values: object) -> ApiKey | None:
        with reachable():
            row = await self._pool.fetchrow(query, *values)
        return ApiKey(**row) if row else None
