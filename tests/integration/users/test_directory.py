import asyncio

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from pipeline.config import PostgresSettings, RedisSettings
from pipeline.errors import Unavailable
from pipeline.observability.metrics import Metrics
from pipeline.storage.bulk import bulk_load
from pipeline.storage.postgres import Pool, open_pool
from pipeline.storage.redis import REDIS_AWAY, open_redis
from pipeline.storage.repositories import Repositories
from pipeline.storage.users import Consent, UserProfile
from pipeline.users.directory import UserDirectory
from pipeline.users.snapshot import EVERY, PreferenceRow, UserSnapshot, unknown_user
from pipeline.users.synthetic import generate_users


def without_version(snapshot: UserSnapshot) -> dict[str, object]:
    return {name: getattr(snapshot, name) for name in snapshot.__struct_fields__ if name != "version"}


async def raw(redis: Redis, directory: UserDirectory, user_id: str) -> bytes | str | None:
    return await redis.get(directory.snapshot_key(user_id))


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_snapshot_is_what_was_written(pool: Pool, directory: UserDirectory, seed: int) -> None:
    users = generate_users(300, seed)
    await bulk_load(pool, users, directory.changed)
    for _ in ("from PostgreSQL", "from Redis"):
        found = await directory.snapshots([user.user_id for user in users])
        assert [without_version(found[u.user_id]) for u in users] == [without_version(u) for u in users]


async def test_loading_users_again_invalidates_nobody(pool: Pool, redis: Redis, directory: UserDirectory) -> None:
    users = generate_users(50, 4)
    ids = [user.user_id for user in users]
    await bulk_load(pool, users, directory.changed)
    before = await directory.snapshots(ids)
    await bulk_load(pool, users, directory.changed)
    assert (await directory.cached(ids)).known == before


async def test_a_profile_deleted_takes_everything_out_of_the_snapshot(
    repositories: Repositories, directory: UserDirectory, pool: Pool
) -> None:
    await repositories.users.put(UserProfile(user_id="anna", email="anna@example.com"))
    await repositories.preferences.set("anna", [PreferenceRow(EVERY, EVERY, False, None, None, None)])
    await pool.execute("DELETE FROM users WHERE user_id = 'anna'")
    await directory.invalidate(["anna"])
    snapshot = (await directory.snapshots(["anna"]))["anna"]
    assert without_version(snapshot) == without_version(unknown_user("anna"))


async def test_the_newest_consent_counts(repositories: Repositories, directory: UserDirectory) -> None:
    await repositories.users.put(UserProfile(user_id="anna"))
    await repositories.users.record_consent("anna", Consent(category="marketing", granted=True))
    await repositories.users.record_consent("anna", Consent(category="research", granted=True))
    assert (await directory.snapshots(["anna"]))["anna"].consents == ["marketing", "research"]
    await repositories.users.record_consent("anna", Consent(category="marketing", granted=False))
    assert (await directory.snapshots(["anna"]))["anna"].consents == ["research"]


async def test_preferences_read_back_as_they_were_set(repositories: Repositories) -> None:
    rows = [
        PreferenceRow("*", "*", None, 79_200, 25_200, None),
        PreferenceRow("email", "marketing", False, None, None, "Asia/Kathmandu"),
    ]
    await repositories.preferences.set("anna", rows)
    assert await repositories.preferences.get("anna") == rows


async def test_a_write_through_a_repository_shows_in_the_next_snapshot(
    repositories: Repositories, directory: UserDirectory
) -> None:
    assert not (await directory.snapshots(["anna"]))["anna"].known
    await repositories.users.put(UserProfile(user_id="anna", locale="de-DE"))
    assert (await directory.snapshots(["anna"]))["anna"].locale == "de-DE"
    await repositories.preferences.set("anna", [PreferenceRow("sms", EVERY, False, None, None, None)])
    assert (await directory.snapshots(["anna"]))["anna"].preferences[0].channel == "sms"


async def test_a_snapshot_read_before_a_change_loses_against_its_invalidation(
    repositories: Repositories, directory: UserDirectory, redis: Redis
) -> None:
    await repositories.users.put(UserProfile(user_id="anna", locale="de-DE"))
    stale = (await directory.load(["anna"]))["anna"]
    await repositories.users.put(UserProfile(user_id="anna", locale="en-GB"))

    await directory._cache([stale])
    assert (await directory.snapshots(["anna"]))["anna"].locale == "en-GB"
    await directory._cache([stale])
    assert (await directory.snapshots(["anna"]))["anna"].locale == "en-GB"


async def test_an_invalidation_that_comes_late_spares_the_fresh_snapshot(
    repositories: Repositories, directory: UserDirectory, redis: Redis
) -> None:
    await repositories.users.put(UserProfile(user_id="anna", locale="de-DE"))
    fresh = (await directory.snapshots(["anna"]))["anna"]
    value = await raw(redis, directory, "anna")
    await directory.invalidate(["anna"])
    assert await raw(redis, directory, "anna") == value
    assert (await directory.cached(["anna"])).known == {"anna": fresh}


async def test_concurrent_changes_and_reads_end_with_the_last_change(
    repositories: Repositories, directory: UserDirectory
) -> None:
    async def read() -> None:
        for _ in range(60):
            await directory.snapshots(["anna"])

    async def write(name: str) -> None:
        for i in range(15):
            await repositories.users.put(UserProfile(user_id="anna", locale=f"{name}-{i}"))

    await asyncio.gather(read(), read(), write("a"), write("b"))
    profile = await repositories.users.get("anna")
    assert profile
    assert (await directory.snapshots(["anna"]))["anna"].locale == profile.locale


async def test_a_read_that_took_too_long_is_not_cached(pool: Pool, redis: Redis) -> None:
    ticks = iter([0.0, 31.0])
    directory = UserDirectory(pool, redis, clock=lambda: next(ticks))
    assert "anna" in await directory.load(["anna"])
    assert await raw(redis, directory, "anna") is None


async def test_unknown_users_are_cached_for_a_shorter_time(
    directory: UserDirectory, repositories: Repositories, redis: Redis
) -> None:
    await repositories.users.put(UserProfile(user_id="anna"))
    found = await directory.snapshots(["anna", "nobody"])
    assert found["nobody"] == unknown_user("nobody")
    assert 290 < await redis.ttl(directory.snapshot_key("anna")) <= 300
    assert 50 < await redis.ttl(directory.snapshot_key("nobody")) <= 60


async def test_what_another_release_cached_is_looked_up_again(
    directory: UserDirectory, repositories: Repositories, redis: Redis
) -> None:
    await repositories.users.put(UserProfile(user_id="anna"))
    for value in (b"", b"garbage that is no snapshot at all", b"0000000000000001\xc1", b"%029d\xc1" % 1):
        await redis.set(directory.snapshot_key("anna"), value)
        assert (await directory.snapshots(["anna"]))["anna"].known
        assert await directory.snapshots(["anna"])


async def test_hits_and_misses_are_counted(pool: Pool, redis: Redis) -> None:
    metrics = Metrics()
    directory = UserDirectory(pool, redis, metrics=metrics)
    await directory.snapshots(["anna", "bernd"])
    await directory.snapshots(["anna", "bernd", "clara"])
    reads = {result: metrics.cache_reads.labels(result)._value.get() for result in ("hit", "miss")}
    assert reads == {"hit": 2, "miss": 3}


async def test_odd_ids_are_ids(repositories: Repositories, directory: UserDirectory) -> None:
    ids = ["a b", "ü{x}", "'; DROP TABLE users; --", "🙂" * 255]
    for user_id in ids:
        await repositories.users.put(UserProfile(user_id=user_id))
    assert all(snapshot.known for snapshot in (await directory.snapshots(ids)).values())


async def test_redis_being_away_reaches_the_reader_but_not_the_writer(pool: Pool) -> None:
    async with open_redis(RedisSettings(url="redis://127.0.0.1:1/0")) as redis:
        directory = UserDirectory(pool, redis)
        await Repositories.over(pool, directory.changed).users.put(UserProfile(user_id="anna"))
        assert (await directory.load(["anna"]))["anna"].known
        with pytest.raises(REDIS_AWAY):
            await directory.snapshots(["anna"])


async def test_postgres_being_away_is_unavailable_only_for_who_is_not_cached(
    redis: Redis, directory: UserDirectory
) -> None:
    await directory.snapshots(["anna"])
    nowhere = PostgresSettings(dsn=SecretStr("postgresql://postgres@127.0.0.1:1/x"))
    async with await open_pool(nowhere) as pool:
        cut_off = UserDirectory(pool, redis)
        assert await cut_off.snapshots(["anna"])
        with pytest.raises(Unavailable):
            await cut_off.snapshots(["bernd"])


async def test_a_snapshot_past_its_time_is_kept_apart_and_gone_once_its_user_changes(
    pool: Pool, redis: Redis, repositories: Repositories
) -> None:
    now = [1_000_000]
    directory = UserDirectory(pool, redis, ttl=10, stale_ttl=50, now=lambda: now[0])
    await repositories.users.put(UserProfile(user_id="anna", locale="de"))
    await directory.load(["anna", "nobody"])
    now[0] += 9_999
    assert set((await directory.cached(["anna"])).known) == {"anna"}
    now[0] += 1
    found = await directory.cached(["anna"])
    assert (found.known, set(found.stale)) == ({}, {"anna"})
    assert 50 < await redis.ttl(directory.snapshot_key("anna")) <= 60
    assert 50 < await redis.ttl(directory.snapshot_key("nobody")) <= 60
    await repositories.users.put(UserProfile(user_id="anna", locale="fr"))
    assert (await directory.cached(["anna"])).stale == {}
