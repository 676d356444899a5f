"""After an erasure nothing names the user, in no table and no key."""

import random
from datetime import UTC, datetime

from redis.asyncio import Redis

from pipeline.events.vocabulary import Channel
from pipeline.privacy.erasure import erase
from pipeline.privacy.search import search_postgres, search_redis
from pipeline.privacy.tables import export_rows
from pipeline.routing.state import caps_key, claim_key
from pipeline.storage.bulk import bulk_load
from pipeline.storage.postgres import Pool
from pipeline.storage.repositories import Repositories
from pipeline.storage.suppressions import Entry
from pipeline.storage.users import UserProfile
from pipeline.users.directory import UserDirectory
from pipeline.users.snapshot import Device, PreferenceRow, UserSnapshot

AT = datetime(2026, 1, 1, tzinfo=UTC)


def user(n: int) -> UserSnapshot:
    return UserSnapshot(
        user_id=f"user-{n}",
        version=0,
        known=True,
        email=f"mail{n}@example.com",
        phone=f"+1202555{n:04}",
        devices=[Device("d", "android", f"token-of-{n}")],
        preferences=[PreferenceRow("*", "*", True, 3600, 7200, "Europe/Berlin")],
        consents=["marketing"],
    )


async def test_of_a_hundred_random_users_nothing_is_left_and_of_the_others_everything(
    pool: Pool, redis: Redis, directory: UserDirectory
) -> None:
    everybody = [user(n) for n in range(300)]
    await bulk_load(pool, everybody, directory.changed)
    await directory.snapshots([u.user_id for u in everybody])
    for u in everybody:
        await redis.set(caps_key(u.user_id), b"x")
        await redis.set(claim_key(u.user_id, "k"), b"x")
        await pool.execute(
            "INSERT INTO inbox (notification_id, user_id, event_type, category, title, body, created_at) "
            "VALUES (gen_random_uuid(), $1, 't', 'c', 'a', $2, now())",
            u.user_id,
            f"write to {u.email}",
        )
    chosen = random.Random(7).sample(everybody, 100)
    done = await erase(pool, redis, directory, [u.user_id for u in chosen], who="a", why="asked", at=AT)
    assert done.complete, done
    assert (done.rows["users"], done.rows["inbox"], done.keys) == (100, 100, 200)
    async with pool.acquire() as connection, connection.transaction():
        names = [name for u in chosen for name in (u.user_id, u.email, u.phone, u.devices[0].token) if name]
        assert await search_postgres(connection, names) == []
        other = next(u for u in everybody if u not in chosen)
        assert {"users.user_id", "inbox.user_id"} <= set(await search_postgres(connection, [other.user_id]))
    assert set(await search_redis(redis, [other.user_id])) >= {"caps", "claim"}
    assert not (await directory.snapshots([chosen[0].user_id]))[chosen[0].user_id].known
    assert (await directory.snapshots([other.user_id]))[other.user_id].known


async def test_an_address_that_complained_stays_suppressed_after_its_user_is_erased(
    pool: Pool, redis: Redis, directory: UserDirectory, repositories: Repositories
) -> None:
    await repositories.users.put(UserProfile(user_id="anna", email="anna@example.com", phone="+12025550100"))
    await repositories.suppressions.put(
        [
            Entry(channel=Channel.EMAIL, address="anna@example.com", user_id="anna", reason="complained"),
            Entry(channel=Channel.SMS, user_id="anna", reason="stop"),
            Entry(channel=Channel.PUSH, user_id="anna", reason="by hand"),
        ]
    )
    done = await erase(pool, redis, directory, ["anna"], who="a", why="asked", at=AT)
    assert done.complete, done
    await repositories.users.put(UserProfile(user_id="new", email="Anna@example.com", phone="+12025550100"))
    suppressed = (await directory.snapshots(["new"]))["new"].suppressions
    assert [(s.channel, s.reason) for s in suppressed] == [(Channel.EMAIL, "complained"), (Channel.SMS, "stop")]


async def test_an_export_holds_every_row_about_the_user_and_nobody_elses(pool: Pool, directory: UserDirectory) -> None:
    await bulk_load(pool, [user(1), user(10)], directory.changed)
    async with pool.acquire() as connection:
        rows = await export_rows(connection, "user-1")
    assert {"users", "devices", "user_consents", "user_notification_preferences"} <= set(rows)
    assert "mail1@example.com" in str(rows)
    assert "user-10" not in str(rows)
