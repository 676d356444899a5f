"""Amazon SNS over real sockets, against the simulator."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from pipeline.config import AccountSettings, ProviderSettings, Settings, SmsSettings, SnsSettings
from pipeline.observability.account_checks import examine_sms
from pipeline.observability.finding import Level
from pipeline.providers.base import Outcome
from pipeline.providers.sms import SmsMessage
from pipeline.providers.sns import Sns
from pipeline.testing.behaviour import Fault
from pipeline.testing.http_simulator import Reply
from pipeline.testing.sns import REGION, SnsSimulator, error_reply
from pipeline.testing.texts import sample_sms

TIMEOUT = 0.5


@pytest.fixture
async def simulator() -> AsyncIterator[SnsSimulator]:
    async with SnsSimulator() as simulator:
        yield simulator


@pytest.fixture
def settings(simulator: SnsSimulator) -> SnsSettings:
    return SnsSettings(
        base_url=simulator.base_url,
        region=REGION,
        access_key_id=simulator.access_key_id,
        secret_access_key=SecretStr(simulator.secret_access_key),
        max_price=0.5,
    )


@pytest.fixture
async def sns(settings: SnsSettings) -> AsyncIterator[Sns]:
    client = Sns(settings, timeout=TIMEOUT)
    await client.start()
    yield client
    await client.close()


@pytest.mark.parametrize("sender", ["", "Shop", "+15005550006"])
@pytest.mark.parametrize("text", ["hello", "Zoë & 李雷 = 100%\n+ 👍"])
async def test_a_message_arrives_once_with_an_id(sns: Sns, simulator: SnsSimulator, sender: str, text: str) -> None:
    result = await sns.send(sample_sms(sender=sender, text=text))
    assert (result.outcome, bool(result.message_id)) == (Outcome.ACCEPTED, True), simulator.received.refused
    assert simulator.received.by_notification() == {"n1": 1}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (error_reply(400, "OptedOut"), Outcome.INVALID_RECIPIENT),
        (error_reply(400, "Throttling"), Outcome.THROTTLED),
        (error_reply(403, "AuthorizationError"), Outcome.CONFIGURATION),
        (error_reply(500, "InternalError"), Outcome.TRANSIENT),
        (Reply(502, b"<html>"), Outcome.TRANSIENT),
        (Reply(200, b"<html>"), Outcome.AMBIGUOUS),
    ],
)
async def test_each_answer_has_its_outcome(sns: Sns, simulator: SnsSimulator, reply: Reply, expected: Outcome) -> None:
    simulator.answer_next(reply)
    assert (await sns.send(sample_sms(sender=""))).outcome is expected


FAULTS = {
    Fault.INVALID_RECIPIENT: Outcome.INVALID_RECIPIENT,
    Fault.REJECTED: Outcome.PERMANENT,
    Fault.CONFIGURATION: Outcome.CONFIGURATION,
    Fault.THROTTLED: Outcome.THROTTLED,
    Fault.UNAVAILABLE: Outcome.TRANSIENT,
    Fault.RESET_AFTER: Outcome.AMBIGUOUS,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_each_fault_is_said_in_the_words_of_sns(sns: Sns, simulator: SnsSimulator, fault: Fault) -> None:
    simulator.script.then(fault)
    assert (await sns.send(sample_sms(sender=""))).outcome is FAULTS[fault]


async def test_a_number_is_condemned_once_this_account_has_sent_something(sns: Sns) -> None:
    nowhere = sample_sms(sender="", to="0170")
    assert (await sns.send(nowhere)).outcome is Outcome.CONFIGURATION
    assert (await sns.send(sample_sms(sender=""))).outcome is Outcome.ACCEPTED
    assert (await sns.send(nowhere)).outcome is Outcome.INVALID_RECIPIENT


@pytest.mark.parametrize(
    "wrong",
    [
        sample_sms(sender="", text=""),
        sample_sms(sender="", text="x" * 1601),
        sample_sms(sender="a name with spaces"),
        sample_sms(sender="")._replace(notification_id=""),
    ],
)
async def test_the_simulator_refuses_what_sns_would(sns: Sns, simulator: SnsSimulator, wrong: SmsMessage) -> None:
    assert (await sns.send(wrong)).outcome is Outcome.PERMANENT
    assert simulator.received.accepted == 0


async def test_a_wrong_secret_is_refused_for_a_message_and_for_the_check(settings: SnsSettings) -> None:
    client = Sns(settings.model_copy(update={"secret_access_key": SecretStr("wrong")}), timeout=TIMEOUT)
    await client.start()
    for result in (await client.send(sample_sms(sender="")), await client.check()):
        assert (result.outcome, result.error) == (Outcome.CONFIGURATION, "SignatureDoesNotMatch")
    await client.close()


async def test_the_doctor_looks_at_every_account_and_sends_nothing(
    settings: SnsSettings, simulator: SnsSimulator
) -> None:
    accounts = (
        AccountSettings(name="sns"),
        AccountSettings(name="renamed", provider="sns", settings={"secret_access_key": "wrong"}),
        AccountSettings(name="twilio"),
        AccountSettings(name="carrier-pigeon"),
        AccountSettings(name="nobody-there", provider="sns", settings={"base_url": "http://127.0.0.1:1"}),
    )
    sms = SmsSettings(providers=accounts)
    found = await examine_sms(Settings(sms=sms, providers=ProviderSettings(sns=settings)))
    assert [(f.level, f.name) for f in found] == [
        (Level.OK, "sns account"),
        (Level.FAIL, "renamed account"),
        (Level.FAIL, "twilio account"),
        (Level.FAIL, "carrier-pigeon account"),
        (Level.WARN, "nobody-there account"),
    ]
    assert "refused: SignatureDoesNotMatch" in found[1].detail
    assert "set providers.twilio.account_sid" in found[2].detail
    assert "there are: twilio, vonage, sns" in found[3].detail
    assert simulator.received.accepted == 0
