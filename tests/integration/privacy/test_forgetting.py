"""An erasure ends what waits, cleans the archive and what was kept apart, and nothing comes back out of Kafka."""

import functools
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from pipeline.config import ArchiveSettings, KafkaSettings, PostgresSettings
from pipeline.events.codec import Codec
from pipeline.events.ids import notification_id
from pipeline.events.records import Deferred, DeliveryStatus, NotificationRequested
from pipeline.events.vocabulary import Channel, Priority, Reason, Status
from pipeline.kafka.inbound import Inbound
from pipeline.kafka.names import DELIVERY_STATUS
from pipeline.kafka.reader import read_topics
from pipeline.privacy.erasure import Erasure, erase
from pipeline.privacy.waits import StatusTeller
from pipeline.storage.bulk import bulk_load
from pipeline.storage.postgres import Pool
from pipeline.store.archive import Archive
from pipeline.store.cold import SHAPES, ColdStore
from pipeline.store.forget import PENDING, forget
from pipeline.store.rows import event_row
from pipeline.store.upkeep import add_days
from pipeline.store.writer import Batch, Rejected, Writer
from pipeline.users.directory import UserDirectory
from pipeline.users.snapshot import UserSnapshot

pytestmark = pytest.mark.broker

AT = datetime.now(UTC)
NOW = int(AT.timestamp()) * 1000
OLD = NOW - 100 * 86_400_000
DAY_OLD = datetime.fromtimestamp(OLD / 1000, UTC).date()
CODEC = Codec.open()


def event(user: str, key: str) -> NotificationRequested:
    return NotificationRequested(
        event_id=f"evt-{key}", event_type="t", recipient_id=user, channels=[Channel.EMAIL], priority=None,
        data=f'{{"to": "{user}@example.com"}}', idempotency_key=key, created_at=NOW,
    )  # fmt: skip


def deferred(user: str, key: str) -> Deferred:
    return Deferred(
        notification_id=notification_id(key, user, Channel.EMAIL), channel=Channel.EMAIL, priority=Priority.NORMAL,
        category="c", until=NOW + 3_600_000, reason=Reason.QUIET_HOURS, rule="quiet_hours", policy_version="1",
        deferred_at=NOW, stage="router", attempts=0, trace_id="", event=event(user, key),
    )  # fmt: skip


def sent(user: str, key: str, at: int) -> DeliveryStatus:
    return DeliveryStatus(
        notification_id=notification_id(key, user, Channel.EMAIL), event_id=f"evt-{key}", idempotency_key=key,
        recipient_id=user, event_type="t", category="c", source="shop", channel=Channel.EMAIL,
        priority=Priority.NORMAL, status=Status.SENT, reason=Reason.ACCEPTED, rule="allowed", policy_version="1",
        provider="ses", provider_message_id="m", attempt=1, in_doubt=False, occurred_at=at, created_at=at, trace_id="",
    )  # fmt: skip


async def store(pool: Pool, statuses: list[DeliveryStatus], rejected: list[Rejected] | None = None) -> None:
    await Writer(pool).write(Batch([(event_row(s), 0) for s in statuses], rejected or []))


async def wait(pool: Pool, user: str) -> None:
    """One notification that waits, one that is collected in a digest."""
    held, item = deferred(user, f"held-{user}"), deferred(user, f"item-{user}")
    await pool.execute(
        "INSERT INTO waiting (notification_id, deferred_at, due_at, recipient_id, idempotency_key, channel, urgency, "
        "reason, created_at, arrival, record) VALUES ($1, $2, $2::timestamptz + interval '1 hour', $3, $4, 'email', 2, 'quiet_hours', "
        "$2, 1, $5)",
        held.notification_id, AT, user, held.event.idempotency_key, CODEC.encode_deferred(held),
    )  # fmt: skip
    await pool.execute(
        "WITH d AS (INSERT INTO digests VALUES (gen_random_uuid(), $1, 'email', 't', 'k', 'ts', 5, $2, $2, 1, true) "
        "RETURNING digest_id) INSERT INTO digest_items (notification_id, digest_id, recipient_id, idempotency_key, "
        "deferred_at, arrival, record) SELECT $3, digest_id, $1, $4, $2, 1, $5 FROM d",
        user, AT, item.notification_id, item.event.idempotency_key, CODEC.encode_deferred(item),
    )  # fmt: skip


class World:
    def __init__(
        self, pool: Pool, redis: Redis, directory: UserDirectory, kafka: KafkaSettings, dsn: str, folder: Path
    ):
        self.pool = pool
        self.redis = redis
        self.directory = directory
        self.kafka = kafka
        self.dsn = dsn
        self.cold = ArchiveSettings(url=f"file://{folder}/archive")

    async def erase(self, *users: str) -> Erasure:
        tell, clean = StatusTeller(self.kafka), functools.partial(forget, self.dsn, self.cold)
        return await erase(
            self.pool, self.redis, self.directory, users, who="a", why="asked", at=AT, tell=tell, forget=clean
        )

    def archive(self) -> None:
        assert len(list(Archive(self.dsn, self.cold).run(DAY_OLD + timedelta(days=1)))) == 2

    def restored(self, dataset: str) -> int:
        return Archive(self.dsn, self.cold).restore(dataset, DAY_OLD)[1]

    def told(self) -> list[DeliveryStatus]:
        return [CODEC.decode_status(m.value()) for batch in read_topics(self.kafka, [DELIVERY_STATUS]) for m in batch]


@pytest.fixture
async def world(
    pool: Pool,
    redis: Redis,
    directory: UserDirectory,
    empty_topics: KafkaSettings,
    postgres_settings: PostgresSettings,
    tmp_path: Path,
) -> World:
    await add_days(pool, DAY_OLD, DAY_OLD)
    return World(pool, redis, directory, empty_topics, postgres_settings.dsn.get_secret_value(), tmp_path)


async def test_of_a_hundred_random_users_nothing_is_left_anywhere_and_what_waited_has_ended(world: World) -> None:
    users = [f"user-{n}" for n in range(300)]
    snapshots = [UserSnapshot(u, 0, True, email=f"{u}@example.com") for u in users]
    await bulk_load(world.pool, snapshots, world.directory.changed)
    rejected = [
        Rejected(Inbound(0, n, u.encode(), CODEC.encode_event(event(u, "x")), [], NOW), "malformed", f"odd: {u!r}")
        for n, u in enumerate(users)
    ]
    await store(world.pool, [sent(u, f"old-{u}", OLD) for u in users], rejected)
    world.archive()
    await store(world.pool, [sent(u, f"new-{u}", NOW) for u in users])
    for user in users:
        await wait(world.pool, user)
    chosen = random.Random(5).sample(users, 100)
    done = await world.erase(*chosen)
    assert done.complete, done
    assert (done.waits, done.archived_rows, done.archive_files) == (200, 200, 2)
    assert (done.rows["store_rejected"], done.rows["waiting"], done.rows["digest_items"]) == (100, 100, 100)
    told = world.told()
    assert {(s.status, s.reason) for s in told} == {(Status.SUPPRESSED, Reason.UNKNOWN_RECIPIENT)}
    ended = {notification_id(f"{kind}-{u}", u, Channel.EMAIL) for u in chosen for kind in ("held", "item")}
    assert {s.notification_id for s in told} == ended
    assert len(told) == 200
    await store(world.pool, told)
    for table in ("history", "status_events", "waiting", "digest_items", "store_rejected"):
        assert await world.pool.fetchval(f"SELECT count(*) FROM {table}") == 200, table  # noqa: S608
    assert world.restored("history") == world.restored("status_events") == 200
    again = await world.erase(*chosen)
    assert again.complete
    assert (again.waits, again.archived_rows) == (0, 0)


async def test_who_registers_again_under_an_erased_id_has_a_history_again(world: World) -> None:
    await bulk_load(world.pool, [UserSnapshot("anna", 0, True)], world.directory.changed)
    await world.erase("anna")
    await store(world.pool, [sent("anna", "a", NOW), sent("anna10", "b", NOW)])
    assert await world.pool.fetchval("SELECT string_agg(recipient_id, ',') FROM history") == "anna10"
    await bulk_load(world.pool, [UserSnapshot("anna", 0, True)], world.directory.changed)
    await store(world.pool, [sent("anna", "c", NOW)])
    assert await world.pool.fetchval("SELECT count(*) FROM history WHERE recipient_id = 'anna'") == 1


@pytest.mark.parametrize("step", ["put_in_place", "put_manifest", "remove"])
async def test_a_cleaning_of_the_archive_that_dies_anywhere_is_finished_by_the_next(
    world: World, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(world.pool, [sent(u, f"k-{u}", OLD) for u in ("anna", "ben")])
    world.archive()

    real, calls = getattr(ColdStore, step), 0

    def fail(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if step == "put_manifest" and calls == 1:  # the one that says what is to be
            return real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ColdStore, step, fail)
        with pytest.raises(KeyboardInterrupt):
            forget(world.dsn, world.cold, ["anna"], ["anna"])
    done = forget(world.dsn, world.cold, ["anna"], ["anna"])
    assert done.left == []
    assert world.restored("history") == world.restored("status_events") == 1
    assert all(ColdStore(world.cold).pending(dataset, DAY_OLD, PENDING) is None for dataset in SHAPES)
