"""Twilio over real sockets, against the simulator."""

import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml
from aiohttp import web
from pydantic import SecretStr

from pipeline.config import TwilioSettings
from pipeline.providers.base import Outcome
from pipeline.providers.sms import SmsMessage
from pipeline.providers.twilio import Twilio
from pipeline.testing.behaviour import Fault
from pipeline.testing.http_simulator import Reply
from pipeline.testing.providers import Providers
from pipeline.testing.texts import sample_sms
from pipeline.testing.twilio import TwilioSimulator, error_reply

TIMEOUT = 0.3


def settings(simulator: TwilioSimulator, sender: str = "") -> TwilioSettings:
    return TwilioSettings(
        base_url=simulator.base_url,
        account_sid=simulator.account_sid,
        auth_token=SecretStr(simulator.auth_token),
        from_number=sender or simulator.from_number,
    )


@pytest.fixture
async def twilio(simulated: Providers) -> AsyncIterator[Twilio]:
    client = Twilio(settings(simulated.twilio), timeout=TIMEOUT)
    await client.start()
    yield client
    await client.close()


async def test_a_message_arrives_once_with_a_sid(twilio: Twilio, simulated: Providers) -> None:
    result = await twilio.send(sample_sms(text="Zoë & 李雷 = 100%\n+"))
    assert result.outcome is Outcome.ACCEPTED
    assert result.message_id.startswith("SM")
    assert simulated.received()["sms"] == {"n1": 1}


@pytest.mark.parametrize("sender", ["+15005550006", "MG" + "0" * 32])
async def test_form_and_answer_are_those_of_the_published_contract(twilio_contract: Any, sender: str) -> None:
    document = twilio_contract
    operation = document["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]["post"]
    form_schema = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    answer_schema = document["components"]["schemas"]["api.v2010.account.message"]
    seen: list[tuple[bytes, Reply]] = []

    class Recording(TwilioSimulator):
        async def other(self, request: web.BaseRequest, body: bytes) -> Reply | None:
            seen.append((body, self.accept(request, body).reply))
            return None

    async with Recording() as simulator:
        client = Twilio(settings(simulator, sender), timeout=TIMEOUT)
        await client.start()
        assert (await client.send(sample_sms(sender=sender, ttl=99_999))).outcome is Outcome.ACCEPTED
        await client.close()
    ((body, reply),) = seen
    form = parse_qs(body.decode(), strict_parsing=True)
    assert set(form) <= set(form_schema["properties"])
    assert set(form_schema["required"]) <= set(form)
    assert form["ValidityPeriod"] == ["36000"]
    assert form["MessagingServiceSid" if sender.startswith("MG") else "From"] == [sender]
    answer = yaml.safe_load(reply.body)
    assert set(answer) <= set(answer_schema["properties"])
    assert answer["status"] in document["components"]["schemas"]["message_enum_status"]["enum"]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error_reply(400, 21211), Outcome.INVALID_RECIPIENT),
        (error_reply(400, 21614), Outcome.INVALID_RECIPIENT),
        (error_reply(400, 21610), Outcome.INVALID_RECIPIENT),
        (error_reply(401, 20003), Outcome.CONFIGURATION),
        (error_reply(403, 21408), Outcome.CONFIGURATION),
        (error_reply(400, 21617), Outcome.PERMANENT),
        (error_reply(503, 20503), Outcome.TRANSIENT),
        (Reply(502, b"<html>"), Outcome.TRANSIENT),
        (Reply(404, b""), Outcome.CONFIGURATION),
    ],
)
async def test_each_answer_has_its_outcome(
    twilio: Twilio, simulated: Providers, reply: Reply, expected: Outcome
) -> None:
    simulated.twilio.answer_next(reply)
    assert (await twilio.send(sample_sms())).outcome is expected


async def test_throttling_says_how_long(twilio: Twilio, simulated: Providers) -> None:
    simulated.twilio.answer_next(error_reply(429, 20429, retry_after=3))
    result = await twilio.send(sample_sms())
    assert (result.outcome, result.retry_after) == (Outcome.THROTTLED, 3.0)


@pytest.mark.parametrize(("fault", "accepted"), [(Fault.RESET_BEFORE, 0), (Fault.RESET_AFTER, 1), (Fault.NO_ANSWER, 1)])
async def test_a_lost_answer_is_in_doubt(twilio: Twilio, simulated: Providers, fault: Fault, accepted: int) -> None:
    simulated.twilio.script.then(fault)
    assert (await twilio.send(sample_sms())).outcome is Outcome.AMBIGUOUS
    assert simulated.received()["sms"]["n1"] == accepted


async def test_a_server_that_is_not_there_is_worth_another_try(simulated: Providers) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        client = Twilio(settings(simulated.twilio).model_copy(update={"base_url": url}), timeout=TIMEOUT)
        await client.start()
        assert (await client.send(sample_sms())).outcome is Outcome.TRANSIENT
        await client.close()


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (sample_sms(to="0170123"), Outcome.INVALID_RECIPIENT),
        (sample_sms(text=""), Outcome.PERMANENT),
        (sample_sms(text="x" * 1601), Outcome.PERMANENT),
        (sample_sms()._replace(status_callback="https://notify.example.com/"), Outcome.PERMANENT),
    ],
)
async def test_the_simulator_refuses_what_twilio_would(
    twilio: Twilio, simulated: Providers, wrong: SmsMessage, expected: Outcome
) -> None:
    assert (await twilio.send(wrong)).outcome is expected
    assert simulated.twilio.received.accepted == 0


async def test_the_check_asks_for_the_account_and_sends_nothing(twilio: Twilio, simulated: Providers) -> None:
    assert (await twilio.check()).outcome is Outcome.ACCEPTED
    assert simulated.twilio.received.accepted == 0


async def test_the_simulator_refuses_a_wrong_password(simulated: Providers) -> None:
    wrong = settings(simulated.twilio).model_copy(update={"auth_token": SecretStr("wrong")})
    client = Twilio(wrong, timeout=TIMEOUT)
    await client.start()
    assert (await client.send(sample_sms())).outcome is Outcome.CONFIGURATION
    assert ((await client.check()).outcome, (await client.check()).error) == (Outcome.CONFIGURATION, "20003")
    await client.close()
