from datetime import UTC, datetime, timedelta

from pipeline.events.vocabulary import Channel
from pipeline.storage.postgres import Pool
from pipeline.storage.repositories import Repositories
from pipeline.storage.users import UserProfile
from pipeline.users.directory import UserDirectory
from pipeline.users.snapshot import EVERY, Suppression

BOUNCED = Suppression(Channel.EMAIL, EVERY, "bounced", None)


async def suppressions_of(directory: UserDirectory, user_id: str) -> list[Suppression]:
    return (await directory.snapshots([user_id]))[user_id].suppressions


async def test_an_address_is_suppressed_for_everybody_who_has_it(
    repositories: Repositories, directory: UserDirectory
) -> None:
    for user_id, email in (("anna", "anna@example.com"), ("anna-2", " Anna@Example.com"), ("bernd", "b@example.com")):
        await repositories.users.put(UserProfile(user_id=user_id, email=email))
    await directory.snapshots(["anna", "anna-2", "bernd"])

    await repositories.suppressions.add(Channel.EMAIL, "anna", "anna@example.com", EVERY, "bounced")
    assert await suppressions_of(directory, "anna") == [BOUNCED]
    assert await suppressions_of(directory, "anna-2") == [BOUNCED]
    assert await suppressions_of(directory, "bernd") == []


async def test_a_suppressed_address_stays_so_under_a_new_user_id(
    repositories: Repositories, directory: UserDirectory
) -> None:
    await repositories.suppressions.add(Channel.SMS, "old-id", "+1 202-555-0100", EVERY, "stop")
    await repositories.users.put(UserProfile(user_id="new-id", phone="+12025550100"))
    assert await suppressions_of(directory, "new-id") == [Suppression(Channel.SMS, EVERY, "stop", None)]


async def test_a_new_address_of_the_user_is_not_suppressed(
    repositories: Repositories, directory: UserDirectory
) -> None:
    await repositories.users.put(UserProfile(user_id="anna", email="old@example.com"))
    await repositories.suppressions.add(Channel.EMAIL, "anna", "old@example.com", EVERY, "bounced")
    await repositories.users.put(UserProfile(user_id="anna", email="new@example.com"))
    assert await suppressions_of(directory, "anna") == []


async def test_without_an_address_the_users_channel_is_suppressed(
    repositories: Repositories, directory: UserDirectory
) -> None:
    await repositories.users.put(UserProfile(user_id="anna"))
    await repositories.suppressions.add(Channel.PUSH, "anna", None, EVERY, "by hand")
    await repositories.suppressions.add(Channel.PUSH, "anna", None, EVERY, "by hand")
    assert await suppressions_of(directory, "anna") == [Suppression(Channel.PUSH, EVERY, "by hand", None)]


async def test_suppressing_again_for_a_while_does_not_end_what_is_for_good(
    repositories: Repositories, directory: UserDirectory
) -> None:
    await repositories.users.put(UserProfile(user_id="anna", email="anna@example.com"))
    soon = datetime.now(UTC) + timedelta(hours=1)
    await repositories.suppressions.add(Channel.EMAIL, "anna", "anna@example.com", EVERY, "bounced")
    await repositories.suppressions.add(Channel.EMAIL, "anna", "anna@example.com", EVERY, "bounced", soon)
    assert await suppressions_of(directory, "anna") == [BOUNCED]


async def test_an_expired_suppression_does_not_count(repositories: Repositories, directory: UserDirectory) -> None:
    await repositories.users.put(UserProfile(user_id="anna", email="anna@example.com"))
    past = datetime.now(UTC) - timedelta(seconds=1)
    await repositories.suppressions.add(Channel.EMAIL, "anna", "anna@example.com", EVERY, "mailbox full", past)
    assert await suppressions_of(directory, "anna") == []


async def test_no_address_is_kept_in_the_clear(repositories: Repositories, pool: Pool) -> None:
    await repositories.suppressions.add(Channel.EMAIL, None, "anna@example.com", EVERY, "bounced")
    assert "anna" not in str(await pool.fetchval("SELECT suppressions::text FROM suppressions"))
