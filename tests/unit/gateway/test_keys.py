"""API keys: when one is good, and how long an answer about one is trusted."""

from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec
import pytest

from pipeline.errors import Unavailable
from pipeline.gateway.auth.keyring import STALE_SECONDS, Keyring
from pipeline.gateway.auth.keys import PresentedKey, format_key, hash_secret, is_good, parse_key
from pipeline.storage.api_keys import ApiKey, ApiKeys

NOW = datetime(2026, 2, 23, tzinfo=UTC)
SECRET, OLD = b"s" * 32, b"o" * 32
KEY = ApiKey(
    key_id="0123456789ab",
    name="shop",
    scopes=["ingest"],
    secret_hash=hash_secret(SECRET),
    previous_hash=None,
    previous_until=None,
    rate=1,
    burst=1,
    daily_quota=None,
    created_at=NOW,
    rotated_at=None,
    expires_at=None,
    revoked_at=None,
)


def shown(secret: bytes) -> PresentedKey:
    parsed = parse_key(format_key(KEY.key_id, secret))
    assert parsed
    return parsed


def changed(**changes: object) -> ApiKey:
    return msgspec.structs.replace(KEY, **changes)


def test_only_its_own_secret_opens_a_key() -> None:
    assert is_good(KEY, shown(SECRET), NOW)
    assert not is_good(KEY, shown(OLD), NOW)
    assert not is_good(KEY, PresentedKey(KEY.key_id, bytes(32)), NOW)


def test_the_secret_before_a_rotation_is_good_for_the_grace_and_no_longer() -> None:
    rotated = changed(previous_hash=hash_secret(OLD), previous_until=NOW + timedelta(hours=1))
    assert is_good(rotated, shown(OLD), NOW)
    assert is_good(rotated, shown(SECRET), NOW)
    assert not is_good(rotated, shown(OLD), NOW + timedelta(hours=1))


def test_a_revoked_or_expired_key_opens_nothing() -> None:
    assert not is_good(changed(revoked_at=NOW), shown(SECRET), NOW)
    assert not is_good(changed(expires_at=NOW), shown(SECRET), NOW)
    assert is_good(changed(expires_at=NOW + timedelta(seconds=1)), shown(SECRET), NOW)


@pytest.mark.parametrize(
    "text",
    ["", "ntf_", "ntf_0123456789ab_", "ntf_0123456789AB_" + "0" * 64, "ntf_0123456789ab_" + "0" * 63, "x" * 81],
)
def test_what_does_not_look_like_a_key_is_none(text: str) -> None:
    assert parse_key(text) is None


class Shelf:
    """Keys as PostgreSQL would have them."""

    def __init__(self) -> None:
        self.keys: dict[str, ApiKey] = {KEY.key_id: KEY}
        self.away = False
        self.reads = 0

    async def get(self, key_id: str) -> ApiKey | None:
        self.reads += 1
        if self.away:
            raise Unavailable("away")
        return self.keys.get(key_id)


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def keyring(shelf: Shelf, time: Time) -> Keyring:
    return Keyring(cast("ApiKeys", shelf), 2.0, time, lambda: NOW)


async def test_a_revocation_counts_within_the_time_to_live() -> None:
    shelf, time = Shelf(), Time()
    ring = keyring(shelf, time)
    assert await ring.find(shown(SECRET))
    shelf.keys[KEY.key_id] = changed(revoked_at=NOW)
    time.now = 1.9
    assert await ring.find(shown(SECRET))
    time.now = 2.0
    assert await ring.find(shown(SECRET)) is None


async def test_guessing_ids_reaches_the_database_once_for_each() -> None:
    shelf, time = Shelf(), Time()
    ring = keyring(shelf, time)
    for _ in range(5):
        assert await ring.find(PresentedKey("zzzzzzzzzzzz", bytes(32))) is None
    assert shelf.reads == 1


async def test_a_known_key_is_good_while_the_database_is_away_and_not_for_ever() -> None:
    shelf, time = Shelf(), Time()
    ring = keyring(shelf, time)
    await ring.find(shown(SECRET))
    shelf.away = True
    time.now = STALE_SECONDS - 1
    assert await ring.find(shown(SECRET))
    time.now = STALE_SECONDS + 1
    with pytest.raises(Unavailable):
        await ring.find(shown(SECRET))
    with pytest.raises(Unavailable):
        await ring.find(PresentedKey("zzzzzzzzzzzz", bytes(32)))
