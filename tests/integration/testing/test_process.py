"""The simulators as a process of their own, as the demo runs them."""

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from pipeline.config import PREFIX, Settings
from pipeline.providers.base import Outcome
from pipeline.providers.fcm import Fcm
from pipeline.providers.push_message import PushMessage
from pipeline.providers.smtp import Smtp
from pipeline.testing.control import CONTROL_VARIABLE
from pipeline.testing.mails import sample_mail
from pipeline.users.snapshot import Device


@pytest.fixture
async def environment(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, str]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pipeline.testing", "--seed", "3"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    environment: dict[str, str] = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield environment
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0
    account = Path(environment["PIPELINE_PROVIDERS__FCM__SERVICE_ACCOUNT"])
    assert not await asyncio.to_thread(account.exists)


async def test_the_printed_environment_is_all_that_a_pipeline_needs(environment: dict[str, str]) -> None:
    settings = Settings.load().providers
    assert settings.fcm.service_account
    assert stat.S_IMODE(settings.fcm.service_account.stat().st_mode) == 0o600
    smtp, fcm = Smtp(settings.smtp, timeout=5), Fcm(settings.fcm, timeout=5)
    await fcm.start()
    message = PushMessage("n1", "order.shipped", "Title", "Body", True, None, None, None)
    (push,) = fcm.prepare(message, [Device("phone", "android", "token")])
    assert (await fcm.send(push)).outcome is Outcome.ACCEPTED
    mail = sample_mail("n2", subject="Grüße", text="Text", html="<p>HTML</p>")
    assert (await smtp.send(mail)).outcome is Outcome.ACCEPTED

    control = environment[CONTROL_VARIABLE]
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{control}/_control/received?ids=1") as response:
            received = await response.json()
        assert received["push"]["ids"] == {"n1": 1}
        assert received["email"]["ids"] == {"n2": 1}
        assert received["sms"]["accepted"] == 0
        async with session.get(f"{control}/_control/last-mail") as response:
            shown = await response.json()
        assert (shown["headers"]["Subject"], shown["text"], shown["html"]) == ("Grüße", "Text", "<p>HTML</p>")
        change = {"channel": "push", "behaviour": {"faults": {"unavailable": 1.0}}}
        async with session.post(f"{control}/_control/behaviour", json=change) as response:
            assert response.status == 200
        assert (await fcm.send(push)).outcome is Outcome.TRANSIENT
        for wrong in ({"behaviour": {"typo": 1}}, {"behaviour": {}, "channel": "in_app"}):
            async with session.post(f"{control}/_control/behaviour", json=wrong) as response:
                assert response.status == 400
    await asyncio.gather(fcm.close(), smtp.close())


async def test_a_mail_that_is_lost_with_its_connection_is_not_accepted(environment: dict[str, str]) -> None:
    """The process runs on uvloop, whose transports are of another kind than asyncio's."""
    body = {"behaviour": {"delay_ms": 0, "faults": {"reset_before": 1.0}}, "channel": "email"}
    url = f"{environment[CONTROL_VARIABLE]}/_control/behaviour"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        assert response.status == 200, await response.text()
    smtp = Smtp(Settings.load().providers.smtp, timeout=5)
    assert (
        await smtp.send(sample_mail("n3", subject="Grüße", text="Text", html="<p>HTML</p>"))
    ).outcome is Outcome.AMBIGUOUS
    await smtp.close()
