import asyncio

from pipeline.storage.repositories import Repositories
from pipeline.storage.users import UserProfile
from pipeline.users.directory import UserDirectory
from pipeline.users.snapshot import Device

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
