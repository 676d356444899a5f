import uuid

from pipeline.storage.inbox import Inbox, InboxItem
from pipeline.storage.postgres import Pool


def item(title: str = "Hello", *, notification_id: str | None = None) -> InboxItem:
    return InboxItem(
        notification_id=notification_id or str(uuid.uuid4()),
        user_id="anna",
        event_type="order.shipped",
        category="orders",
        title=title,
        body="On its way",
        link="https://example.com/orders/1",
        data='{"order": {"id": 1}}',
        created_at=1_700_000_000_123,
    )


async def test_an_item_is_stored_as_given(pool: Pool) -> None:
    given = item()
    assert await Inbox(pool).add([given]) == {given.notification_id: 1}
    row = await pool.fetchrow("SELECT *, (extract(EPOCH FROM created_at) * 1000)::bigint AS ms FROM inbox")
    assert row
    assert (row["user_id"], row["title"], row["data"], row["ms"], row["read_at"]) == (
        "anna",
        "Hello",
        given.data,
        given.created_at,
        None,
    )


async def test_a_repeated_delivery_adds_nothing_and_changes_nothing(pool: Pool) -> None:
    inbox, first = Inbox(pool), item("first")
    await inbox.add([first])
    await pool.execute("UPDATE inbox SET read_at = now()")
    again, new = item("again", notification_id=first.notification_id), item("new")
    assert await inbox.add([again, new, new]) == {first.notification_id: 1, new.notification_id: 2}
    rows = await pool.fetch("SELECT title, read_at IS NOT NULL AS read FROM inbox ORDER BY title")
    assert [tuple(row) for row in rows] == [("first", True), ("new", False)]


async def test_adding_nothing_is_fine(pool: Pool) -> None:
    assert await Inbox(pool).add([]) == {}
