import asyncio
import json
import time

import pytest

from pipeline.errors import InvalidDevice
from pipeline.storage.devices import DeviceRegistry
from pipeline.storage.postgres import Pool
from pipeline.storage.repositories import Repositories
from pipeline.storage.users import UserProfile
from pipeline.users.directory import UserDirectory
from pipeline.users.snapshot import Device
from pipeline.users.synthetic import web_subscription

PHONE = Device(id="phone", platform="android", token="token-1")


async def devices_of(directory: UserDirectory, user_id: str) -> list[Device]:
    return (await directory.snapshots([user_id]))[user_id].devices


async def test_a_token_that_moves_to_another_user_leaves_the_first(
    repositories: Repositories, directory: UserDirectory
) -> None:
    for user_id in ("anna", "bernd"):
        await repositories.users.put(UserProfile(user_id=user_id))
    await repositories.devices.register("anna", PHONE)
    assert await devices_of(directory, "anna") == [PHONE]

    await repositories.devices.register("bernd", Device("her-old-phone", "android", PHONE.token))
    assert await devices_of(directory, "anna") == []
    assert await devices_of(directory, "bernd") == [Device("her-old-phone", "android", PHONE.token)]


async def test_a_token_registered_by_many_at_once_ends_with_one(
    repositories: Repositories, directory: UserDirectory
) -> None:
    user_ids = [f"user-{i}" for i in range(8)]
    for user_id in user_ids:
        await repositories.users.put(UserProfile(user_id=user_id))
    await asyncio.gather(*(repositories.devices.register(user_id, PHONE) for user_id in user_ids))
    owned = [device for user_id in user_ids for device in await devices_of(directory, user_id)]
    assert owned == [PHONE]


async def test_a_fresh_token_replaces_the_devices_old_one(repositories: Repositories, directory: UserDirectory) -> None:
    await repositories.users.put(UserProfile(user_id="anna"))
    await repositories.devices.register("anna", PHONE)
    await repositories.devices.register("anna", Device("phone", "android", "token-2"))
    assert await devices_of(directory, "anna") == [Device("phone", "android", "token-2")]


async def test_pruning_a_refused_token_spares_the_one_registered_since(
    repositories: Repositories, directory: UserDirectory
) -> None:
    await repositories.users.put(UserProfile(user_id="anna"))
    await repositories.devices.register("anna", Device("phone", "android", "token-2"))
    assert not await repositories.devices.prune("anna", "phone", "UNREGISTERED", token="token-1")
    assert len(await devices_of(directory, "anna")) == 1
    assert await repositories.devices.prune("anna", "phone", "UNREGISTERED", token="token-2")
    assert await devices_of(directory, "anna") == []


async def test_a_web_push_subscription_is_the_same_device_however_it_is_spelt(
    repositories: Repositories, directory: UserDirectory
) -> None:
    for user_id in ("anna", "bernd"):
        await repositories.users.put(UserProfile(user_id=user_id))
    subscription = json.loads(web_subscription("anna", "browser"))
    await repositories.devices.register("anna", Device("browser", "web", json.dumps(subscription, indent=1)))
    kept = await repositories.devices.register("bernd", Device("his", "web", json.dumps({"x": 1, **subscription})))
    assert await devices_of(directory, "anna") == []
    assert await devices_of(directory, "bernd") == [kept]


async def test_environment_and_app_come_to_where_they_are_needed(
    repositories: Repositories, directory: UserDirectory
) -> None:
    await repositories.users.put(UserProfile(user_id="anna"))
    tester = Device("phone", "ios", "ab" * 32, "sandbox", "com.example.app")
    await repositories.devices.register("anna", tester)
    assert await devices_of(directory, "anna") == [tester]


@pytest.mark.parametrize(
    ("device", "named"),
    [
        (Device("d", "symbian", "t"), "platform"),
        (Device("d", "ios", "t", "staging"), "environment"),
        (Device("d", "ios", ""), "token"),
        (Device("d", "ios", "t", "", "evil\nheader"), "app"),
        (Device("d", "web", '{"endpoint": "https://push.example.com"}'), "token"),
        (Device("d", "android", "t" * 3000), "token"),
    ],
)
async def test_a_device_that_cannot_take_messages_is_refused_and_says_why(
    repositories: Repositories, device: Device, named: str
) -> None:
    with pytest.raises(InvalidDevice, match=named):
        await repositories.devices.register("anna", device)
    assert await repositories.devices.list("anna") == []


async def seen(pool: Pool, device_id: str, days_ago: float) -> None:
    await pool.execute(
        "UPDATE devices SET last_seen_at = now() - make_interval(secs => $2) WHERE device_id = $1",
        device_id,
        days_ago * 86_400,
    )


async def test_one_device_too_many_and_the_one_not_seen_for_longest_leaves(
    pool: Pool, directory: UserDirectory
) -> None:
    registry = DeviceRegistry(pool, directory.changed, max_per_user=3)
    await Repositories.over(pool, directory.changed).users.put(UserProfile(user_id="anna"))
    for number in range(3):
        await registry.register("anna", Device(f"d{number}", "android", f"token-{number}"))
        await seen(pool, f"d{number}", days_ago=3 - number)
    await registry.register("anna", Device("d0", "android", "token-0"))
    await registry.register("anna", Device("new", "android", "token-new"))
    assert [device.id for device in await devices_of(directory, "anna")] == ["d0", "d2", "new"]


async def test_many_registrations_at_once_do_not_pass_the_cap(pool: Pool, directory: UserDirectory) -> None:
    registry = DeviceRegistry(pool, directory.changed, max_per_user=3)
    devices = [Device(f"d{number}", "android", f"token-{number}") for number in range(12)]
    await asyncio.gather(*(registry.register("anna", device) for device in devices))
    assert len(await registry.list("anna")) == 3


async def test_a_device_that_registered_after_its_token_was_found_dead_stays(
    pool: Pool, repositories: Repositories
) -> None:
    await repositories.devices.register("anna", PHONE)
    await seen(pool, "phone", days_ago=2)
    now = time.time()
    assert not await repositories.devices.prune("anna", "phone", "Unregistered", dead_since=now - 3 * 86_400)
    assert await repositories.devices.prune("anna", "phone", "Unregistered", dead_since=now - 86_400)


async def test_seeing_a_device_again_keeps_when_its_token_came(pool: Pool, repositories: Repositories) -> None:
    await repositories.devices.register("anna", PHONE)
    (first,) = await repositories.devices.list("anna")
    await repositories.devices.register("anna", PHONE)
    (again,) = await repositories.devices.list("anna")
    assert again.registered_at == first.registered_at
    assert again.last_seen_at > first.last_seen_at
    await repositories.devices.register("anna", Device("phone", "android", "token-2"))
    (fresh,) = await repositories.devices.list("anna")
    assert fresh.registered_at > first.registered_at


async def test_replacing_the_devices_leaves_only_the_given_ones(repositories: Repositories) -> None:
    await repositories.devices.put("anna", [PHONE, Device("tablet", "android", "token-2")], replace=False)
    await repositories.devices.put("anna", [Device("watch", "android", "token-3")], replace=True)
    assert [device.device_id for device in await repositories.devices.list("anna")] == ["watch"]


async def test_everyone_is_met_once_across_the_pages(
    repositories: Repositories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.storage.devices.PAGE", 3)
    for number in range(8):
        await repositories.devices.register(f"user-{number % 3}", Device(f"d{number}", "android", f"token-{number}"))
    met = [(found.user_id, found.device.id) async for found in repositories.devices.everyone()]
    assert met == sorted((f"user-{number % 3}", f"d{number}") for number in range(8))
