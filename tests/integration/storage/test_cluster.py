"""Redis as a cluster: calls about users whose keys lie on different nodes, and a node that is restarted."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from pipeline.channels.in_app import RedisBroadcast
from pipeline.config import RedisSettings
from pipeline.delivery.ledger import EntryKeys, Ledger, Move, State, entry_keys
from pipeline.embedded.processes import Supervisor
from pipeline.embedded.valkey import ValkeyCluster, open_valkey_cluster
from pipeline.events.records import NotificationRequested
from pipeline.gateway.auth.limits import Limits
from pipeline.gateway.events.claims import Claims, Standing
from pipeline.gateway.events.intake import Submission
from pipeline.kafka.names import IN_APP_CHANNEL
from pipeline.observability.health import Health
from pipeline.routing.state import cancel_key, caps_key, claim_key
from pipeline.storage.keys import hash_tag
from pipeline.storage.postgres import Pool
from pipeline.storage.redis import open_redis
from pipeline.storage.repositories import Repositories
from pipeline.storage.slots import as_cluster, subscribers
from pipeline.storage.users import UserProfile
from pipeline.users.directory import UserDirectory

USERS = [f"user{n}" for n in range(60)]
ODD_USERS = ["}", "}x", "%}x", "{", "{}", "a}b", "%", "ü{x}", ""]


@pytest.fixture(scope="module")
def valkey_cluster(supervisor: Supervisor) -> ValkeyCluster:
    return open_valkey_cluster(supervisor)


@pytest.fixture
async def cluster(valkey_cluster: ValkeyCluster) -> AsyncIterator[Redis]:
    async with open_redis(RedisSettings(url=valkey_cluster.url, cluster=True)) as redis:
        await redis.flushall()
        yield redis


def ledger(redis: Redis, token: str = "a" * 16) -> Ledger:
    return Ledger(redis, Health(), token=token, retention=100, lease=30)


def notifications(users: list[str]) -> list[EntryKeys]:
    return [entry_keys(user, f"n{n}", f"k{n}") for n, user in enumerate(users)]


def slot_of(redis: Redis, key: str) -> int:
    client = as_cluster(redis)
    assert client is not None
    return client.keyslot(key)


async def test_a_batch_of_many_users_moves_through_the_ledger_on_all_nodes(cluster: Redis) -> None:
    entries = notifications(USERS * 3)
    assert len({slot_of(cluster, keys.entry) for keys in entries}) > 50
    ours = ledger(cluster)
    await cluster.set(entries[7].cancel, b"1")
    found = await ours.lease(entries)
    assert [f.cancelled for f in found] == [n % 60 == 7 and n == 7 for n in range(180)]
    moves = await asyncio.gather(*(ours.start(keys, State.LEASED, b"%d" % n) for n, keys in enumerate(entries)))
    assert [n for n, move in enumerate(moves) if move is Move.CANCELLED] == [7]
    again = await ledger(cluster, "b" * 16).lease(entries)
    assert [f.state for f in again] == [State.LEASED if n == 7 else State.SENDING for n in range(180)]
    started = [keys for n, keys in enumerate(entries) if n != 7]
    assert all(await asyncio.gather(*(ours.close(keys, State.LEASED, keys.entry.encode()) for keys in started)))
    ended = await ours.lease(started)
    assert [(f.state, f.body) for f in ended] == [(State.DONE, keys.entry.encode()) for keys in started]


async def test_every_key_of_a_user_lies_in_one_slot_whatever_the_id(cluster: Redis) -> None:
    for user in [*USERS, *ODD_USERS]:
        keys = [caps_key(user), claim_key(user, "k"), cancel_key(user, "k"), UserDirectory.snapshot_key(user)]
        assert len({slot_of(cluster, key) for key in [*keys, *entry_keys(user, "n", "k")]}) == 1, user
    assert len({hash_tag(user) for user in ODD_USERS}) == len(ODD_USERS)


async def test_snapshots_and_tombstones_of_many_users(cluster: Redis, pool: Pool) -> None:
    directory = UserDirectory(pool, cluster)
    repositories = Repositories.over(pool, directory.changed)
    for user in USERS:
        await repositories.users.put(UserProfile(user_id=user, locale="de"))
    assert all(snapshot.known for snapshot in (await directory.snapshots(USERS)).values())
    assert list((await directory.cached(USERS)).known) == USERS
    await repositories.users.put(UserProfile(user_id=USERS[3], locale="fr"))
    assert (await directory.snapshots(USERS))[USERS[3]].locale == "fr"


async def test_what_is_published_on_any_node_reaches_a_listener_of_any_other(
    valkey_cluster: ValkeyCluster, cluster: Redis
) -> None:
    settings = [RedisSettings(url=f"redis://127.0.0.1:{node.child.command.argv[4]}") for node in valkey_cluster.nodes]
    for each in settings:
        async with open_redis(each) as node, node.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(IN_APP_CHANNEL)
            await pubsub.get_message(timeout=5)
            assert await subscribers(cluster, IN_APP_CHANNEL) == 1
            publish = RedisBroadcast(cluster).publish
            async with asyncio.timeout(30):  # nodes of a new cluster do not know of each other at once
                while await pubsub.get_message(timeout=0.2) is None:
                    await publish([b"-1"])
            await publish([b"%d" % n for n in range(20)])
            heard = set[int]()
            async with asyncio.timeout(30):
                while not heard >= set(range(20)):
                    message = await pubsub.get_message(timeout=1)
                    heard |= {int(message["data"])} if message else set()


async def test_a_node_that_is_restarted_empty_is_waited_for_and_written_to_again(
    valkey_cluster: ValkeyCluster, cluster: Redis
) -> None:
    entries, ours, node = notifications(USERS), ledger(cluster), valkey_cluster.nodes[1]
    await ours.lease(entries)
    await asyncio.to_thread(node.kill)
    starts = asyncio.gather(*(ours.start(keys, State.LEASED, b"") for keys in entries))
    await asyncio.sleep(1)
    assert not starts.done()
    await asyncio.to_thread(node.start)
    assert set(await asyncio.wait_for(starts, 30)) == {Move.MADE}
    assert {found.state for found in await ours.lease(entries)} == {State.SENDING}


def submission(user: str, key: str, event_id: str, body: bytes = b"b" * 16) -> Submission:
    event = NotificationRequested(
        event_id=event_id,
        event_type="order.shipped",
        recipient_id=user,
        channels=[],
        priority=None,
        data="{}",
        idempotency_key=key,
        created_at=0,
    )
    return Submission(event, body, "")


async def test_events_of_many_users_are_claimed_at_once_and_found_by_their_ids(cluster: Redis) -> None:
    claims = Claims(cluster, retention=100, pending=10)
    asked = [submission(user, "k", f"event-{user}") for user in USERS]
    assert {c.standing for c in await asyncio.gather(*map(claims.take, asked))} == {Standing.NEW}
    await asyncio.gather(*(claims.note(s, accepted=True) for s in asked))
    again = [submission(user, "k", f"again-{user}") for user in USERS]
    answers = await asyncio.gather(*map(claims.take, again))
    assert [(c.standing, c.event_id) for c in answers] == [(Standing.ACCEPTED, f"event-{user}") for user in USERS]
    assert [a and a.recipient_id for a in [await claims.find(f"event-{user}") for user in USERS]] == USERS
    assert await claims.find(f"again-{USERS[0]}") is None
    other = submission(USERS[0], "k", "other", b"c" * 16)
    assert (await claims.take(other)).standing is Standing.CONFLICT
    assert await claims.find("other") is None


async def test_callers_whose_allowances_lie_on_different_nodes_are_limited_each(cluster: Redis) -> None:
    limits = Limits(cluster)
    waits = await asyncio.gather(*(limits.take(f"service:{n}", 1.0, 3) for n in range(20) for _ in range(4)))
    assert [n for n, wait in enumerate(waits) if wait] == list(range(3, 80, 4))
