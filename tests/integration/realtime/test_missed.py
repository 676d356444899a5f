"""What a client missed comes out of the inbox: no gap, no repeat, in order."""

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from pipeline.channels.in_app import in_app_message
from pipeline.kafka.names import IN_APP_CHANNEL
from tests.integration.realtime.conftest import (
    Instance,
    Servers,
    SocketClient,
    item,
    poll,
    somebody,
    stream,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_socket_that_comes_back_to_another_instance_gets_what_it_missed(
    servers: Servers, first: Instance, second: Instance
) -> None:
    user = somebody()
    client = await SocketClient(user).connect(first)
    await servers.deliver(item(user, 1))
    await until(lambda: client.titles == ["1"])
    await client.close()
    await servers.deliver(item(user, 2), item(user, 3))
    back = await SocketClient(user).connect(second, after=client.got()[-1]["cursor"])
    await servers.deliver(item(user, 4))
    await until(lambda: len(back.titles) >= 3)
    assert back.titles == ["2", "3", "4"]
    assert back.got()[0].keys() == back.got()[2].keys()
    await back.close()


async def test_a_client_that_was_told_nothing_yet_can_come_back_too(servers: Servers, first: Instance) -> None:
    user = somebody()
    await servers.deliver(item(user, 1))
    client = await SocketClient(user).connect(first)
    await until(lambda: client.got("ready"))
    assert client.got("ready") == [{"cursor": "1", "unread": 1}]
    await client.close()
    await servers.deliver(item(user, 2))
    back = await SocketClient(user).connect(first, after="1")
    await until(lambda: back.titles == ["2"])
    await back.close()


async def test_a_stream_goes_on_after_the_last_event_id(servers: Servers, first: Instance, second: Instance) -> None:
    user = somebody()
    async with stream(first, user) as one:
        await servers.deliver(item(user, 1), item(user, 2))
        assert await one.titles(2) == ["1", "2"]
    await servers.deliver(*(item(user, number) for number in range(3, 300)))
    async with stream(second, user, after=one.last_id) as again:
        assert await again.titles(297) == [str(number) for number in range(3, 300)]
        await servers.deliver(item(user, 300))
        assert await again.titles(1) == ["300"]


async def test_polls_follow_each_other_without_a_gap(servers: Servers, first: Instance, second: Instance) -> None:
    user = somebody()
    cursor = (await poll(first, user, timeout="0"))["cursor"]
    assert cursor == "0"
    titles: list[str] = []
    sending = asyncio.create_task(_deliver_slowly(servers, user, 30))
    while len(titles) < 30:
        answer = await poll(random.choice((first, second)), user, after=cursor)
        titles += [data["title"] for data in answer["notifications"]]
        cursor = answer["cursor"]
    await sending
    assert titles == [str(number) for number in range(30)]
    assert await poll(first, user, after=cursor, timeout="0.01") == {"notifications": [], "read": [], "cursor": "30"}


async def _deliver_slowly(servers: Servers, user: str, count: int) -> None:
    for number in range(count):
        await servers.deliver(item(user, number))
        await asyncio.sleep(random.uniform(0, 0.02))


async def test_a_message_that_is_published_late_twice_or_never_is_delivered_once(
    servers: Servers, first: Instance
) -> None:
    user = somebody()
    one, two, three = item(user, 1), item(user, 2), item(user, 3)
    async with stream(first, user) as client:
        places = await servers.inbox.add([one, two])
        await servers.deliver(three)  # and `one` was never published
        late = in_app_message(two, places[two.notification_id])
        await servers.redis.publish(IN_APP_CHANNEL, late)
        await servers.redis.publish(IN_APP_CHANNEL, late)
        await servers.deliver(item(user, 4))
        assert await client.titles(4) == ["1", "2", "3", "4"]


async def test_what_was_stored_and_never_published_comes_with_the_next_sweep(servers: Servers) -> None:
    async with servers.instance(sweep=0.2) as instance:
        user = somebody()
        async with stream(instance, user) as client:
            await servers.deliver(item(user, 1), published=False)
            assert await client.titles(1) == ["1"]


async def test_places_are_committed_in_their_order(servers: Servers) -> None:
    """Two that add to one inbox at once: whoever sees the later place sees the earlier one."""
    user, other = somebody(), somebody()
    async with servers.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "INSERT INTO inbox (notification_id, user_id, event_type, category, title, body, created_at) "
            "VALUES (gen_random_uuid(), $1, 't', 'c', 'first', 'b', now())",
            user,
        )
        second = asyncio.create_task(servers.inbox.add([item(other), item(user)]))
        await asyncio.sleep(0.2)
        assert not second.done()
        await transaction.commit()
    assert sorted((await second).values()) == [1, 2]
    titles = await servers.pool.fetch("SELECT title FROM inbox WHERE user_id = $1 ORDER BY place", user)
    assert [row["title"] for row in titles] == ["first", "0"]


async def test_batches_that_add_to_the_same_inboxes_at_once_neither_stop_each_other_nor_skip_a_place(
    servers: Servers,
) -> None:
    users = [somebody() for _ in range(5)]
    batches = [[item(random.choice(users)) for _ in range(20)] for _ in range(20)]
    repeats = [random.sample(batch, 10) for batch in batches]
    for batch in repeats:
        random.shuffle(batch)
    found = await asyncio.gather(*(servers.inbox.add(batch) for batch in batches + repeats))
    given = {id_: place for places in found for id_, place in places.items()}
    assert all(given[id_] == place for places in found for id_, place in places.items())
    rows = await servers.pool.fetch(
        "SELECT user_id, notification_id::text, place FROM inbox WHERE user_id = ANY($1)", users
    )
    assert {row["notification_id"]: row["place"] for row in rows} == given
    for user in users:
        highest = max(row["place"] for row in rows if row["user_id"] == user)
        head = await servers.pool.fetchval("SELECT last_place FROM inbox_heads WHERE user_id = $1", user)
        assert head >= highest


async def test_archived_entries_are_left_out_and_read_ones_say_so(servers: Servers, first: Instance) -> None:
    user = somebody()
    await servers.deliver(item(user, 1), item(user, 2), item(user, 3))
    await servers.pool.execute("UPDATE inbox SET archived_at = now() WHERE user_id = $1 AND title <> '2'", user)
    await servers.pool.execute("UPDATE inbox SET read_at = now() WHERE user_id = $1", user)
    answer = await poll(first, user, after="0")
    assert [(data["title"], data["read"]) for data in answer["notifications"]] == [("2", True)]


async def test_a_cursor_of_an_inbox_that_is_no_more_starts_at_the_beginning(servers: Servers, first: Instance) -> None:
    user = somebody()
    await servers.deliver(item(user, 1))
    answer = await poll(first, user, after="4711")
    assert [data["title"] for data in answer["notifications"]] == ["1"]


async def test_clients_that_come_and_go_while_much_is_delivered_end_with_exactly_their_own(
    servers: Servers, first: Instance, second: Instance
) -> None:
    users = [somebody() for _ in range(10)]
    count = 40

    async def follow(user: str) -> list[str]:
        titles: list[str] = []
        after = "0"
        while len(titles) < count:
            async with stream(random.choice((first, second)), user, after=after) as client:
                titles += await client.titles(min(random.randrange(1, 20), count - len(titles)))
                after = client.last_id
        return titles

    async def produce() -> None:
        for number in range(count):
            batch = [item(user, number) for user in random.sample(users, len(users))]
            places = await servers.inbox.add(batch)
            messages = [in_app_message(each, places[each.notification_id]) for each in batch]
            lost = 2 if number < count - 1 else 0
            for message in random.sample(messages, len(messages) - lost):
                await servers.redis.publish(IN_APP_CHANNEL, message)

    followed, _ = await asyncio.gather(asyncio.gather(*(follow(user) for user in users)), produce())
    assert followed == [[str(number) for number in range(count)]] * len(users)


async def test_nothing_is_missed_while_redis_is_away(servers: Servers, first: Instance) -> None:
    """The subscription is cut by the server, as it is when Redis restarts or drops a slow subscriber."""
    users = [somebody() for _ in range(5)]
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(stream(first, user)) for user in users]
        for round_ in range(5):
            await servers.redis.client_kill_filter(_type="pubsub")
            for user in users:
                await servers.deliver(item(user, round_))
        for client in streams:
            assert await client.titles(5) == [str(number) for number in range(5)]
