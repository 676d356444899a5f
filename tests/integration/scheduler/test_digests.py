"""Every item ends in exactly one digest or says why it does not, whoever dies when."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from pipeline.errors import Unavailable
from pipeline.events.ids import notification_id
from pipeline.events.records import Deferred, NotificationRequested
from pipeline.events.vocabulary import Channel, Reason, Status
from pipeline.kafka.names import DELIVERY_STATUS, INGEST
from pipeline.kafka.producer import AsyncProducer, Record
from pipeline.scheduler.waiting import TRY_AGAIN
from pipeline.users.snapshot import PreferenceRow
from tests.integration.scheduler.conftest import MINUTE, NOON, Desk, cancel, deferred

pytestmark = pytest.mark.broker

WINDOW = 10 * MINUTE
POSTS = ["x", "y", "z"]


def like(key: str, *, user: str = "ann", post: str = "p1", at: int = NOON, **changes: object) -> Deferred:
    return deferred(
        key,
        until=at + WINDOW,
        deferred_at=at,
        channel=Channel.IN_APP,
        reason=Reason.DIGEST,
        rule="digest",
        category="social",
        event_type="post.liked",
        recipient_id=user,
        data=f'{{"post": "{post}", "by": "{key}"}}',
        **changes,
    )


class Data(msgspec.Struct):
    """The data of a digest event."""

    count: int
    key: str
    items: list[dict[str, object]]


def data(event: NotificationRequested) -> Data:
    return msgspec.json.decode(event.data, type=Data)


async def flush(desk: Desk, at: int) -> None:
    desk.clock[0] = at
    await desk.flusher().tick()


async def test_items_of_one_moment_become_one_digest_with_their_count(desk: Desk) -> None:
    await desk.user("ann")
    await desk.store([like(f"k{i}") for i in range(5)])
    await flush(desk, NOON + WINDOW - 1)
    assert desk.released() == []
    await flush(desk, NOON + WINDOW)
    (event,) = desk.released()
    assert (event.event_type, event.recipient_id, event.channels) == ("post.liked_by_many", "ann", [Channel.IN_APP])
    assert (data(event).count, data(event).key) == (5, "post-p1")
    assert [item["event_id"] for item in data(event).items] == ["evt-k2", "evt-k3", "evt-k4"]
    assert data(event).items[0]["data"] == {"post": "p1", "by": "k2"}
    assert "origin" not in dict(desk.written(INGEST)[0].headers() or [])
    into = notification_id(event.idempotency_key, "ann", Channel.IN_APP)
    told = desk.statuses()
    assert {(s.status, s.reason, s.provider_message_id) for s in told} == {(Status.DIGESTED, Reason.DIGEST, into)}
    assert Counter(s.idempotency_key for s in told) == {f"k{i}": 1 for i in range(5)}


async def test_what_is_collected_together_shares_its_key_and_nothing_else(desk: Desk) -> None:
    for user in ("ann", "ben"):
        await desk.user(user)
    await desk.store([like(f"{u}{p}{i}", user=u, post=p) for i in range(4) for u in ("ann", "ben") for p in POSTS])
    await flush(desk, NOON + WINDOW)
    found = {(e.recipient_id, data(e).key): data(e) for e in desk.released()}
    assert len(found) == 6
    for (user, key), digest in found.items():
        assert digest.count == 4
        assert {str(item["event_id"])[4:8] for item in digest.items} == {f"{user}{key[-1]}"}


async def test_an_item_that_is_read_again_joins_once_even_after_its_digest_is_sent(desk: Desk) -> None:
    await desk.user("ann")
    await desk.store([like("k1"), like("k1"), like("k2")], offsets=[1, 1, 2])
    await desk.store([like("k2"), like("k3")], offsets=[2, 3])
    await flush(desk, NOON + WINDOW)
    await desk.store([like("k1"), like("k3")], offsets=[1, 3])
    await flush(desk, NOON + 3 * WINDOW)
    (event,) = desk.released()
    assert data(event).count == 3


async def test_what_comes_after_a_window_opens_the_next(desk: Desk) -> None:
    await desk.user("ann")
    await desk.store([like("k1"), like("k2", at=NOON + WINDOW)])
    await flush(desk, NOON + WINDOW)
    await desk.store([like("k3", at=NOON + WINDOW + 1)])
    await flush(desk, NOON + 2 * WINDOW)
    assert sorted(data(event).count for event in desk.released()) == [1, 2]


async def test_a_full_digest_goes_at_once(desk: Desk) -> None:
    await desk.user("ann")
    await desk.store([like(f"k{i}") for i in range(130)])
    await flush(desk, NOON + 1)
    (event,) = desk.released()
    assert data(event).count == 100
    await flush(desk, NOON + WINDOW)
    assert sorted(data(event).count for event in desk.released()) == [30, 100]


async def test_what_is_not_wanted_any_more_is_left_out_and_says_why(desk: Desk) -> None:
    for user in ("ann", "ben"):
        await desk.user(user)
    await desk.store(
        [
            like("a1"),
            like("a2"),
            like("a3", expires_at=NOON + 1),
            like("a4"),
            like("b1", user="ben"),
            like("c1", user="cy"),
        ]
    )
    await desk.store([cancel("a2", at=NOON + 7)])
    await desk.people.preferences.set("ben", [PreferenceRow("in_app", "post.liked", False, None, None, None)])
    await flush(desk, NOON + WINDOW)
    (event,) = desk.released()
    assert data(event).count == 2
    assert {s.idempotency_key: (s.status, s.reason) for s in desk.statuses()} == {
        "a1": (Status.DIGESTED, Reason.DIGEST),
        "a2": (Status.CANCELLED, Reason.CANCELLED),
        "a3": (Status.EXPIRED, Reason.EXPIRED),
        "a4": (Status.DIGESTED, Reason.DIGEST),
        "b1": (Status.SUPPRESSED, Reason.OPTED_OUT),
        "c1": (Status.SUPPRESSED, Reason.UNKNOWN_RECIPIENT),
    }


class Dying(AsyncProducer):
    """Writes what it is given for `topic`, and dies before anybody hears of it."""

    def __init__(self, real: AsyncProducer, topic: str) -> None:
        self._real = real
        self._topic = topic

    async def send_all(self, records: Sequence[Record]) -> None:
        await self._real.send_all(records)
        if records and records[0].topic == self._topic:
            raise ConnectionAbortedError


@pytest.mark.parametrize("topic", [INGEST, DELIVERY_STATUS])
async def test_a_scheduler_that_dies_while_it_writes_is_repeated_word_for_word(desk: Desk, topic: str) -> None:
    await desk.user("ann")
    await desk.store([like(f"k{i}") for i in range(5)])
    desk.clock[0] = NOON + WINDOW
    with pytest.raises(Unavailable):
        await desk.flusher(Dying(desk.producer, topic)).tick()
    await desk.people.preferences.set("ann", [PreferenceRow("*", "*", False, None, None, None)])
    await flush(desk, NOON + 2 * WINDOW)
    assert len({bytes(m.value() or b"") for m in desk.written(INGEST)}) == 1
    assert len({bytes(m.value() or b"") for m in desk.written(DELIVERY_STATUS)}) == 5
    assert {s.status for s in desk.statuses()} == {Status.DIGESTED}


async def test_schedulers_that_take_in_and_flush_at_once_lose_and_double_nothing(desk: Desk) -> None:
    rng = random.Random(5)
    users = [f"u{i}" for i in range(6)]
    for user in users:
        await desk.user(user)
    items = [like(f"k{i}", user=rng.choice(users), post=rng.choice("xy"), at=NOON + i // 40) for i in range(600)]

    async def take_in(part: list[Deferred]) -> None:
        for start in range(0, len(part), 20):
            for _ in range(100):
                if await _stored(desk, part[start : start + 20]):
                    break
            desk.clock[0] += WINDOW // 8

    async def flush_all(flushes: int) -> None:
        for _ in range(flushes):
            await desk.flusher().tick()
            await asyncio.sleep(0.01)

    await asyncio.gather(take_in(items[:400]), take_in(items[200:]), flush_all(25), flush_all(25))
    await flush(desk, desk.clock[0] + 3 * WINDOW)
    told = Counter(s.notification_id for s in desk.statuses())
    assert told == {item.notification_id: 1 for item in items}
    assert sum(data(event).count for event in desk.released()) == len(items)
    assert len({e.idempotency_key for e in desk.released()}) == len(desk.released())


async def _stored(desk: Desk, items: list[Deferred]) -> bool:
    """False: another was faster, and the intake would try again."""
    try:
        await desk.store(items)
    except TRY_AGAIN:
        return False
    return True
