"""Profiles, preferences, devices, inbox: as their owner and as services see them."""

import asyncio
import random
import uuid
from datetime import datetime
from typing import Any

import pytest

from pipeline.storage.inbox import Inbox, InboxItem
from pipeline.storage.postgres import Pool
from pipeline.users.directory import UserDirectory
from tests.integration.gateway.conftest import Desk, as_user

pytestmark = pytest.mark.broker

ALICE = "/v1/users/alice"


async def test_a_profile_is_put_patched_and_read(desk: Desk) -> None:
    assert (await desk.call("GET", ALICE)).status == 404
    assert (await desk.call("PATCH", ALICE, json={"locale": "de"})).status == 404
    whole = {"email": "alice@example.com", "phone": "+12025550100", "locale": "en-GB", "timezone": "Europe/London"}
    assert (await desk.call("PUT", ALICE, json=whole)).json == {"user_id": "alice", **whole}
    patched = await desk.call("PATCH", ALICE, headers=as_user("alice"), json={"phone": None, "timezone": "Asia/Tokyo"})
    assert patched.json == {"user_id": "alice", **whole, "phone": None, "timezone": "Asia/Tokyo"}
    replaced = await desk.call("PUT", ALICE, json={"email": "a@example.com"})
    assert replaced.json["timezone"] is None
    assert (await desk.call("GET", ALICE)).json == replaced.json


async def test_what_is_wrong_in_a_profile_is_pointed_at_and_never_quoted(desk: Desk) -> None:
    for body, pointer in [
        ({"email": "secret at example"}, "#/email"),
        ({"phone": "0202secret"}, "#/phone"),
        ({"timezone": "Mars/Olympus"}, "#/timezone"),
        ({"timezone": "../../etc/passwd"}, "#/timezone"),
        ({"locale": 7}, "#/locale"),
        ({"email": "a\x00@example.com"}, "#/email"),
        ({"name": "Alice"}, "#"),
    ]:
        answer = await desk.call("PUT", ALICE, json=body)
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (400, pointer), body
        assert "secret" not in str(answer.json)


async def test_the_effective_preference_says_what_it_is_due_to(desk: Desk) -> None:
    await desk.call("PUT", ALICE, json={"email": "alice@example.com"})
    rows = [
        {"channel": "*", "type": "marketing", "enabled": False},
        {"channel": "email", "type": "order.shipped", "enabled": True},
        {"channel": "email", "type": "orders", "enabled": False},
        {"channel": "email", "type": "security", "enabled": False},
    ]
    body = {"preferences": rows, "consents": {"marketing": True}}
    view = (await desk.call("PUT", f"{ALICE}/preferences", headers=as_user("alice"), json=body)).json
    found = {(e["type"], e["channel"]): e for e in view["effective"]}

    def told(type_: str, channel: str) -> tuple[bool, str, str]:
        entry = found[type_, channel]
        return entry["enabled"], entry["origin"], entry["text"]

    assert told("marketing.newsletter", "email") == (
        False,
        "preference:all_category",
        "off because of category marketing",
    )
    assert told("order.shipped", "email") == (
        True,
        "preference:channel_type",
        "on because of type order.shipped on email",
    )
    assert told("order.confirmed", "email") == (
        False,
        "preference:channel_category",
        "off because of category orders on email",
    )
    assert told("order.shipped", "in_app") == (True, "default", "on by default")
    assert told("order.shipped", "push")[:2] == (False, "no_address")
    assert told("security.*", "email")[:2] == (True, "mandatory")
    assert {c["category"]: c["consented"] for c in view["categories"] if c["consent_required"]} == {"marketing": True}
    one = await desk.call("GET", f"{ALICE}/preferences?type=order.delayed&channel=email", headers=as_user("alice"))
    (entry,) = one.json["effective"]
    assert (entry["type"], entry["enabled"]) == ("order.delayed", False)


async def test_rows_are_changed_one_by_one_or_all_at_once(desk: Desk) -> None:
    path = f"{ALICE}/preferences"
    quiet = {"start": "22:00", "end": "07:30", "timezone": "Europe/Berlin"}
    await desk.call("PUT", path, json={"preferences": [{"channel": "*", "quiet_hours": quiet}]})
    sms = {"channel": "sms", "type": "orders", "enabled": False}
    both = (await desk.call("PATCH", path, json={"preferences": [sms]})).json["preferences"]
    assert both == [
        {"channel": "*", "type": "*", "enabled": None, "quiet_hours": quiet},
        {**sms, "quiet_hours": None},
    ]
    left = await desk.call("PATCH", path, json={"preferences": [{"channel": "*"}]})
    assert [row["channel"] for row in left.json["preferences"]] == ["sms"]
    assert (await desk.call("PUT", path, json={"preferences": []})).json["preferences"] == []
    for rows, pointer in [
        ([{"channel": "fax"}], "#/preferences/0/channel"),
        ([sms, sms], "#/preferences/0"),
        ([{"quiet_hours": {"start": "25:00", "end": "07:00"}}], "#/preferences/0/quiet_hours/start"),
        ([{"quiet_hours": {**quiet, "timezone": "Nowhere"}}], "#/preferences/0/quiet_hours/timezone"),
    ]:
        answer = await desk.call("PUT", path, json={"preferences": rows})
        assert (answer.status, answer.json["errors"][0]["pointer"]) == (400, pointer)


async def test_a_change_counts_for_the_next_event_although_the_user_was_cached(
    desk: Desk, directory: UserDirectory
) -> None:
    await desk.call("PUT", ALICE, json={"email": "alice@example.com"})
    assert (await directory.snapshots(["alice"]))["alice"].preferences == []
    row = {"channel": "email", "enabled": False}
    await desk.call("PATCH", f"{ALICE}/preferences", headers=as_user("alice"), json={"preferences": [row]})
    (cached,) = (await directory.snapshots(["alice"]))["alice"].preferences
    assert (cached.channel, cached.enabled) == ("email", False)


async def test_a_consent_that_is_there_already_is_not_recorded_again(desk: Desk, pool: Pool) -> None:
    await desk.call("PUT", ALICE, json={})
    for granted in (True, True, False, False, True):
        await desk.call("PATCH", f"{ALICE}/preferences", json={"consents": {"marketing": granted}})
    rows = await pool.fetch("SELECT granted FROM user_consents WHERE user_id = 'alice' ORDER BY id")
    assert [row["granted"] for row in rows] == [True, False, True]


async def test_devices_are_registered_refreshed_and_deleted_and_tokens_never_shown(desk: Desk) -> None:
    path = f"{ALICE}/devices"
    phone = {"device_id": "phone", "platform": "android", "token": "token-1"}
    first = await desk.call("POST", path, headers=as_user("alice"), json=phone)
    assert [d["device_id"] for d in first.json["devices"]] == ["phone"]
    assert "token" not in str(first.json)
    await desk.call("POST", path, json={**phone, "token": "token-2"})
    tablet = {"device_id": "tablet", "platform": "ios", "token": "token-3"}
    assert len((await desk.call("PATCH", path, json={"devices": [tablet]})).json["devices"]) == 2
    stolen = await desk.call("POST", "/v1/users/bob/devices", json={**phone, "token": "token-2"})
    assert len(stolen.json["devices"]) == 1
    assert [d["device_id"] for d in (await desk.call("GET", path)).json["devices"]] == ["tablet"]
    assert len((await desk.call("PUT", path, json={"devices": [phone]})).json["devices"]) == 1
    assert (await desk.call("DELETE", f"{path}/phone", headers=as_user("alice"))).status == 204
    assert (await desk.call("DELETE", f"{path}/phone")).status == 404
    twice = await desk.call("PUT", path, json={"devices": [phone, {**phone, "token": "token-9"}]})
    assert (twice.status, twice.json["errors"][0]["pointer"]) == (400, "#/devices/0/device_id")
    long = await desk.call("PUT", path, json={"devices": [{**phone, "token": "x" * 2500}]})
    assert [d["device_id"] for d in long.json["devices"]] == ["phone"]
    assert (await desk.call("PUT", path, json={"devices": [{**phone, "token": "x" * 2501}]})).status == 400
    many = [{"device_id": f"d{n}", "platform": "android", "token": f"many-{n}"} for n in range(6)]
    kept = await desk.call("PUT", path, json={"devices": many})
    assert len(kept.json["devices"]) == 5, "as many as devices.max_per_user says"


def item(user_id: str, number: int, **changes: Any) -> InboxItem:
    values: dict[str, Any] = {
        "notification_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{user_id}-{number}")),
        "user_id": user_id,
        "event_type": "order.shipped",
        "category": "orders",
        "title": f"Title {number}",
        "body": "Body",
        "data": '{"order_id": "1"}',
        "created_at": 1_700_000_000_000 + number // 2,
    }
    return InboxItem(**{**values, **changes})


async def test_pages_show_everything_once_the_newest_first(desk: Desk, pool: Pool) -> None:
    await Inbox(pool).add([item("alice", n, category="social" if n % 5 == 0 else "orders") for n in range(25)])
    await Inbox(pool).add([item("bob", 1)])
    seen: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = (await desk.call("GET", f"{ALICE}/inbox?limit=4{cursor}", headers=as_user("alice"))).json
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len({entry["notification_id"] for entry in seen}) == len(seen) == 25
    times = [datetime.fromisoformat(e["created_at"]) for e in seen]
    assert times == sorted(times, reverse=True)
    assert (seen[0]["data"], seen[0]["read_at"]) == ({"order_id": "1"}, None)
    social = (await desk.call("GET", f"{ALICE}/inbox?category=social")).json["items"]
    assert len(social) == 5
    for wrong in ("cursor=nonsense", "limit=0", "limit=201", "limit=x", "unread=perhaps", "cursor=%ff"):
        assert (await desk.call("GET", f"{ALICE}/inbox?{wrong}")).status == 400, wrong


async def test_reading_and_archiving_change_what_is_unread(desk: Desk, pool: Pool) -> None:
    items = [item("alice", n) for n in range(6)]
    await Inbox(pool).add(items)
    path = f"{ALICE}/inbox"
    ids = [items[0].notification_id, items[1].notification_id]
    one = {"ids": ids}
    assert (await desk.call("POST", f"{path}/read", json=one)).json == {"updated": 2, "unread": 4}
    assert (await desk.call("POST", f"{path}/read", json=one)).json == {"updated": 0, "unread": 4}
    archived = await desk.call("POST", f"{path}/read", json={"ids": [items[2].notification_id], "archive": True})
    assert archived.json == {"updated": 1, "unread": 3}
    assert len((await desk.call("GET", path)).json["items"]) == 5
    assert len((await desk.call("GET", f"{path}?archived=true")).json["items"]) == 1
    assert len((await desk.call("GET", f"{path}?unread=true")).json["items"]) == 3
    until = "2023-11-14T22:13:20.001Z"
    assert (await desk.call("POST", f"{path}/read", json={"all": True, "until": until})).json["unread"] == 2
    assert (await desk.call("POST", f"{path}/read", json={"all": True})).json == {"updated": 2, "unread": 0}
    assert (await desk.call("POST", f"{path}/read", json={"ids": ids, "all": True})).status == 400
    assert (await desk.call("POST", f"{path}/read", json={})).status == 400


async def test_the_unread_count_is_exact_while_many_read_archive_and_receive(desk: Desk, pool: Pool) -> None:
    rnd, inbox, path = random.Random(7), Inbox(pool), f"{ALICE}/inbox"
    items = [item("alice", n) for n in range(120)]
    await inbox.add(items[:60])

    async def step(number: int) -> None:
        some = [i.notification_id for i in rnd.sample(items, 15)]
        match number % 4:
            case 0:
                await inbox.add([items[60 + number]])
            case 1:
                answer = await desk.call("POST", f"{path}/read", json={"ids": some, "archive": number % 8 == 1})
                assert answer.status == 200
            case 2:
                answer = await desk.call("POST", f"{path}/read", json={"all": True, "until": "2023-11-14T22:13:20Z"})
                assert answer.status == 200
            case _:
                assert (await desk.call("GET", f"{path}/unread")).status == 200

    await asyncio.gather(*(step(n) for n in range(60)))
    counted = (await desk.call("GET", f"{path}/unread")).json["unread"]
    listed = (await desk.call("GET", f"{path}?unread=true&limit=200")).json["items"]
    assert (
        counted
        == len(listed)
        == await pool.fetchval(
            "SELECT count(*) FROM inbox WHERE user_id = 'alice' AND read_at IS NULL AND archived_at IS NULL"
        )
    )
    assert counted > 0
