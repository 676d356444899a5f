"""``pipeline devices`` against PostgreSQL, Redis and a simulated FCM."""

import json
from collections.abc import AsyncIterator

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli.root import app
from pipeline.storage.postgres import Pool
from pipeline.storage.repositories import Repositories
from pipeline.storage.users import UserProfile
from pipeline.testing.fcm import error_reply
from pipeline.testing.providers import Providers
from pipeline.users.directory import UserDirectory
from pipeline.users.snapshot import Device
from pipeline.users.synthetic import apns_token, fcm_token, web_subscription

DROID = Device("droid", "android", fcm_token("anna", "droid"))
GONE = Device("gone", "android", fcm_token("anna", "gone"))
OLD = Device("old", "web", web_subscription("anna", "old"))
PHONE = Device("phone", "ios", apns_token("anna", "phone"), "sandbox", "com.example.app")


@pytest.fixture
async def simulated(monkeypatch: pytest.MonkeyPatch, database_dsn: str, redis_url: str) -> AsyncIterator[Providers]:
    async with Providers() as providers:
        for name, value in providers.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PIPELINE_POSTGRES__DSN", database_dsn)
        monkeypatch.setenv("PIPELINE_REDIS__URL", redis_url)
        providers.fcm.unregister(GONE.token)
        yield providers


@pytest.fixture
async def devices(repositories: Repositories, pool: Pool) -> None:
    await repositories.users.put(UserProfile(user_id="anna"))
    await repositories.devices.put("anna", [DROID, GONE, OLD, PHONE], replace=True)
    await pool.execute("UPDATE devices SET last_seen_at = now() - interval '300 days' WHERE device_id = 'old'")


async def pipeline(*arguments: str) -> Result:
    """In a thread: the simulators live in this one's event loop."""
    import asyncio

    return await asyncio.to_thread(CliRunner().invoke, app, arguments)


async def test_a_weekly_validation_asks_fcm_and_sends_nothing(
    simulated: Providers, devices: None, directory: UserDirectory
) -> None:
    await directory.snapshots(["anna"])
    dry = await pipeline("devices", "validate", "--json", "--dry-run")
    assert dry.exit_code == 0, dry.output
    expected = {"checked": 4, "alive": 1, "dead": 1, "stale": 1, "not_asked": 1, "unknown": 0, "pruned": 0}
    assert json.loads(dry.output).items() >= expected.items()
    done = await pipeline("devices", "validate", "--json")
    assert json.loads(done.output).items() >= (expected | {"pruned": 2, "dry_run": False}).items()
    assert json.loads(done.output)["by_platform"]["android"] == {"alive": 1, "dead": 1}
    assert (simulated.fcm.validated, simulated.fcm.received.accepted) == (2, 0)
    left = (await directory.snapshots(["anna"]))["anna"].devices
    assert [device.id for device in left] == ["droid", "phone"], "the cached snapshot knows"
    again = await pipeline("devices", "validate")
    assert again.output == "2 devices: 1 alive, 0 dead, 0 stale, 1 not asked, 0 unknown; 0 pruned\n"


async def test_an_outage_of_fcm_prunes_nobody_and_fails(
    simulated: Providers, devices: None, directory: UserDirectory
) -> None:
    simulated.fcm.answer_next(*[error_reply(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")] * 4)
    done = await pipeline("devices", "validate", "--json")
    assert done.exit_code == 1
    assert "no verdict on 1 devices" in done.stderr
    assert DROID in (await directory.snapshots(["anna"]))["anna"].devices


async def test_the_list_shows_no_token(simulated: Providers, devices: None) -> None:
    shown = await pipeline("devices", "list", "anna", "--json")
    listed = json.loads(shown.output)["devices"]
    assert [device["device_id"] for device in listed] == ["droid", "gone", "old", "phone"]
    assert (listed[3]["environment"], listed[3]["app"]) == ("sandbox", "com.example.app")
    text = await pipeline("devices", "list", "anna")
    assert "phone  ios (com.example.app sandbox)" in text.output
    for device in (DROID, GONE, OLD, PHONE):
        assert device.token not in shown.output + text.output
    assert (await pipeline("devices", "list", "nobody")).output == "nobody has no device\n"
