"""Vonage's two APIs over real sockets, against the simulator."""

import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

import pytest
from pydantic import SecretStr

from pipeline.config import VonageSettings
from pipeline.providers.base import Outcome
from pipeline.providers.http import Answer
from pipeline.providers.sms import SmsMessage
from pipeline.providers.vonage import Vonage
from pipeline.testing.behaviour import Fault
from pipeline.testing.http_simulator import Reply
from pipeline.testing.providers import Providers
from pipeline.testing.texts import sample_sms
from pipeline.testing.vonage import VonageSimulator, messages_error, sms_reply

TIMEOUT = 0.5

Api = Literal["sms", "messages"]
APIS: tuple[Api, ...] = ("sms", "messages")


@pytest.fixture
async def simulator() -> AsyncIterator[VonageSimulator]:
    async with VonageSimulator() as simulator:
        yield simulator


@pytest.fixture
def settings(simulator: VonageSimulator, tmp_path: Path) -> VonageSettings:
    key = tmp_path / "key.pem"
    simulator.write_private_key(key)
    return VonageSettings(
        base_url=simulator.base_url,
        api_key=simulator.api_key,
        api_secret=SecretStr(simulator.api_secret),
        application_id=simulator.application_id,
        private_key=key,
        from_number=simulator.from_number,
    )


@pytest.fixture(params=APIS)
async def vonage(settings: VonageSettings, request: pytest.FixtureRequest) -> AsyncIterator[Vonage]:
    client = Vonage(settings.model_copy(update={"api": request.param}), timeout=TIMEOUT)
    await client.start()
    yield client
    await client.close()


def message(**fields: Any) -> SmsMessage:
    return sample_sms(provider="vonage", **fields)


@pytest.mark.parametrize("text", ["hello", "Zoë & 李雷 = 100%\n+ 👍", "x" * 1530])
async def test_a_message_arrives_once_with_an_id(vonage: Vonage, simulator: VonageSimulator, text: str) -> None:
    result = await vonage.send(message(text=text))
    assert (result.outcome, bool(result.message_id)) == (Outcome.ACCEPTED, True)
    assert simulator.received.by_notification() == {"n1": 1}
    body = simulator.bodies[-1].decode()
    assert text == (json.loads(body)["text"] if body.startswith("{") else parse_qs(body)["text"][0])


@pytest.mark.parametrize("ttl", [1, 600, 10_000_000])
async def test_a_time_to_live_is_given_as_vonage_takes_it(vonage: Vonage, simulator: VonageSimulator, ttl: int) -> None:
    result = await vonage.send(message(ttl=ttl))
    assert result.outcome is Outcome.ACCEPTED, simulator.received.refused


SMS_ANSWERS = [
    (sms_reply("1"), Outcome.THROTTLED),
    (sms_reply("4"), Outcome.CONFIGURATION),
    (sms_reply("5"), Outcome.TRANSIENT),
    (sms_reply("7"), Outcome.INVALID_RECIPIENT),
    (sms_reply("0", "5"), Outcome.AMBIGUOUS),
    (Reply(502, b"<html>"), Outcome.TRANSIENT),
    (Reply(200, b"<html>"), Outcome.AMBIGUOUS),
]
MESSAGES_ANSWERS = [
    (messages_error(422, "1050"), Outcome.INVALID_RECIPIENT),
    (messages_error(401, "unauthorized"), Outcome.CONFIGURATION),
    (messages_error(422, "1120"), Outcome.CONFIGURATION),
    (messages_error(500, "1030"), Outcome.TRANSIENT),
    (Reply(502, b"<html>"), Outcome.TRANSIENT),
    (Reply(202, b"<html>"), Outcome.AMBIGUOUS),
]


@pytest.mark.parametrize(
    ("vonage", "reply", "expected"),
    [("sms", *row) for row in SMS_ANSWERS] + [("messages", *row) for row in MESSAGES_ANSWERS],
    indirect=["vonage"],
)
async def test_each_answer_has_its_outcome(
    vonage: Vonage, simulator: VonageSimulator, reply: Reply, expected: Outcome
) -> None:
    simulator.answer_next(reply)
    assert (await vonage.send(message())).outcome is expected


@pytest.mark.parametrize("vonage", ["messages"], indirect=True)
async def test_throttling_says_how_long(vonage: Vonage, simulator: VonageSimulator) -> None:
    simulator.answer_next(messages_error(429, "1000", retry_after=3))
    result = await vonage.send(message())
    assert (result.outcome, result.retry_after) == (Outcome.THROTTLED, 3.0)


FAULTS = {
    Fault.INVALID_RECIPIENT: Outcome.INVALID_RECIPIENT,
    Fault.REJECTED: Outcome.PERMANENT,
    Fault.CONFIGURATION: Outcome.CONFIGURATION,
    Fault.THROTTLED: Outcome.THROTTLED,
    Fault.UNAVAILABLE: Outcome.TRANSIENT,
    Fault.RESET_BEFORE: Outcome.AMBIGUOUS,
    Fault.RESET_AFTER: Outcome.AMBIGUOUS,
    Fault.NO_ANSWER: Outcome.AMBIGUOUS,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_said_in_the_words_of_the_api(
    vonage: Vonage, simulator: VonageSimulator, fault: Fault
) -> None:
    simulator.script.then(fault)
    assert (await vonage.send(message())).outcome is FAULTS[fault]
    assert simulator.received.accepted == (fault in {Fault.RESET_AFTER, Fault.NO_ANSWER})


async def test_a_server_that_is_not_there_is_worth_another_try(settings: VonageSettings) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        client = Vonage(settings.model_copy(update={"base_url": url}), timeout=TIMEOUT)
        await client.start()
        assert (await client.send(message())).outcome is Outcome.TRANSIENT
        await client.close()


@pytest.mark.parametrize(
    "wrong",
    [
        message(to="+1"),
        message(text=""),
        message(text="x" * 3201),
        message(sender="!"),
        message()._replace(notification_id=""),
        message()._replace(status_callback="no address"),
        message(text="李雷")._replace(is_gsm=True),
    ],
)
async def test_the_simulator_refuses_what_vonage_would(
    vonage: Vonage, simulator: VonageSimulator, wrong: SmsMessage
) -> None:
    assert (await vonage.send(wrong)).outcome in {Outcome.PERMANENT, Outcome.CONFIGURATION}
    assert simulator.received.accepted == 0


async def test_the_check_takes_good_credentials_and_sends_nothing(vonage: Vonage, simulator: VonageSimulator) -> None:
    assert (await vonage.check()).outcome is Outcome.ACCEPTED
    assert simulator.received.accepted == 0


@pytest.mark.parametrize("api", APIS)
async def test_wrong_credentials_are_refused_for_a_message_and_for_the_check(
    settings: VonageSettings, simulator: VonageSimulator, tmp_path: Path, api: Api
) -> None:
    other = tmp_path / "other.pem"
    VonageSimulator().write_private_key(other)
    wrong = settings.model_copy(update={"api": api, "api_secret": SecretStr("wrong"), "private_key": other})
    client = Vonage(wrong, timeout=TIMEOUT)
    await client.start()
    assert (await client.send(message())).outcome is Outcome.CONFIGURATION
    assert (await client.check()).outcome is Outcome.CONFIGURATION
    await client.close()
    assert simulator.received.accepted == 0


async def test_the_answers_of_the_simulator_are_those_of_the_contract(
    simulator: VonageSimulator, contracts: Path
) -> None:
    captured = json.loads((contracts / "vonage_fixture_send_sms.json").read_bytes())
    ours = json.loads(sms_reply("0").body)
    assert set(ours) == set(captured)
    assert set(captured["messages"][0]) <= set(ours["messages"][0])
    problem = json.loads((contracts / "vonage_fixture_low_balance_error.json").read_bytes())
    assert set(json.loads(messages_error(402, "low-balance").body)) == set(problem)


async def test_all_simulators_count_sms_in_one_place(simulated: Providers) -> None:
    settings = VonageSettings(
        base_url=simulated.vonage.base_url,
        api_key=simulated.vonage.api_key,
        api_secret=SecretStr(simulated.vonage.api_secret),
        from_number=simulated.vonage.from_number,
    )
    client = Vonage(settings, timeout=TIMEOUT)
    await client.start()
    assert isinstance(await client._ask(client._api.send_request(message())), Answer)
    await client.close()
    assert simulated.received()["sms"] == {"n1": 1}
