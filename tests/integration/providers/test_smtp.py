"""SMTP over real sockets, against the simulator."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from pipeline.config import SmtpSettings
from pipeline.providers.base import Outcome
from pipeline.providers.smtp import Smtp
from pipeline.testing.behaviour import Fault
from pipeline.testing.mails import sample_mail
from pipeline.testing.providers import Providers
from pipeline.testing.smtp import SmtpSimulator

TIMEOUT = 0.5


@pytest.fixture
async def smtp(simulated: Providers) -> AsyncIterator[Smtp]:
    client = Smtp(SmtpSettings(base_url=simulated.smtp.base_url, connections=4), timeout=TIMEOUT)
    yield client
    await client.close()


async def test_mails_arrive_once_byte_for_byte_over_few_connections(smtp: Smtp, simulated: Providers) -> None:
    sent = [sample_mail(f"n{number}", text=".\n..dots\n" * number) for number in range(40)]
    results = await asyncio.gather(*map(smtp.send, sent))
    assert {result.outcome for result in results} == {Outcome.ACCEPTED}
    assert len({result.message_id for result in results} - {""}) == 40
    assert sorted(simulated.smtp.mails) == sorted(one.content for one in sent)
    assert simulated.smtp.connections <= 4
    assert simulated.smtp.received.duplicates == 0


@pytest.mark.parametrize(
    ("command", "reply", "expected"),
    [
        ("RCPT", "550 5.1.1 No such user", Outcome.INVALID_RECIPIENT),
        ("RCPT", "551 5.1.6 Moved", Outcome.INVALID_RECIPIENT),
        ("RCPT", "553 5.1.3 Bad address", Outcome.INVALID_RECIPIENT),
        ("RCPT", "550 5.2.1 Disabled", Outcome.INVALID_RECIPIENT),
        ("RCPT", "550 No such user", Outcome.PERMANENT),
        ("RCPT", "450 4.7.1 Slow down", Outcome.THROTTLED),
        ("RCPT", "452 4.2.2 Mailbox full", Outcome.TRANSIENT),
        ("MAIL", "530 5.7.0 Authentication required", Outcome.CONFIGURATION),
        ("MAIL", "553 5.1.8 Sender unknown", Outcome.CONFIGURATION),
        ("MAIL", "421 4.7.0 Too many connections", Outcome.THROTTLED),
        ("DATA", "554 5.7.1 Spam", Outcome.PERMANENT),
        ("DATA", "552 5.3.4 Too large", Outcome.PERMANENT),
        ("DATA", "451 4.3.0 Try again", Outcome.TRANSIENT),
        ("DATA", "421 4.3.2 Shutting down", Outcome.THROTTLED),
    ],
)
async def test_each_refusal_has_its_outcome_and_the_next_mail_goes_through(
    smtp: Smtp, simulated: Providers, command: str, reply: str, expected: Outcome
) -> None:
    simulated.smtp.answer_next((command, reply))
    assert (await smtp.send(sample_mail("refused"))).outcome is expected
    assert (await smtp.send(sample_mail("next"))).outcome is Outcome.ACCEPTED
    assert set(simulated.received()["email"]) == {"next"}


async def test_an_idle_connection_that_the_relay_closed_is_replaced_unnoticed(smtp: Smtp, simulated: Providers) -> None:
    await smtp.send(sample_mail("one"))
    simulated.smtp.drop_connections()
    assert (await smtp.send(sample_mail("two"))).outcome is Outcome.ACCEPTED
    await asyncio.sleep(0.05)
    simulated.smtp.answer_next(("MAIL", "421 4.4.2 Idle for too long"))
    assert (await smtp.send(sample_mail("three"))).outcome is Outcome.ACCEPTED
    assert simulated.smtp.connections == 3
    assert set(simulated.received()["email"].values()) == {1}


@pytest.mark.parametrize(("fault", "accepted"), [(Fault.RESET_BEFORE, 0), (Fault.RESET_AFTER, 1), (Fault.NO_ANSWER, 1)])
async def test_a_reply_lost_after_the_content_is_in_doubt(
    smtp: Smtp, simulated: Providers, fault: Fault, accepted: int
) -> None:
    simulated.smtp.script.then(fault)
    assert (await smtp.send(sample_mail("lost"))).outcome is Outcome.AMBIGUOUS
    assert simulated.received()["email"]["lost"] == accepted
    assert (await smtp.send(sample_mail("next"))).outcome is Outcome.ACCEPTED


async def test_a_cancelled_send_leaves_no_half_open_transaction_behind(smtp: Smtp, simulated: Providers) -> None:
    simulated.smtp.script.then(Fault.NO_ANSWER)
    sending = asyncio.create_task(smtp.send(sample_mail("cancelled")))
    await asyncio.sleep(0.1)
    sending.cancel()
    await asyncio.wait([sending])
    assert sending.cancelled()
    assert (await smtp.send(sample_mail("next"))).outcome is Outcome.ACCEPTED


async def test_a_relay_that_is_not_there_is_worth_another_try() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = Smtp(SmtpSettings(base_url=f"smtp://127.0.0.1:{unused.getsockname()[1]}"), timeout=TIMEOUT)
        assert (await client.send(sample_mail())).outcome is Outcome.TRANSIENT


@pytest.mark.parametrize(
    "settings",
    [{"starttls": "require"}, {"username": "u", "password": SecretStr("p")}],
    ids=["no STARTTLS on offer", "no AUTH on offer"],
)
async def test_what_the_relay_does_not_offer_is_our_configuration(
    simulated: Providers, settings: dict[str, object]
) -> None:
    client = Smtp(SmtpSettings.model_validate({"base_url": simulated.smtp.base_url} | settings), timeout=TIMEOUT)
    assert (await client.send(sample_mail())).outcome is Outcome.CONFIGURATION
    assert simulated.smtp.received.accepted == 0


@pytest.mark.parametrize(
    "content",
    [
        b"Subject: no empty line\r\n",
        b"From: a\r\nFrom: b\r\n\r\nbody\r\n",
        b"Subject: x\r\n\r\nno other header\r\n",
        b"X-Long: " + b"x" * 1000 + b"\r\n\r\n\r\n",
    ],
)
async def test_the_simulator_refuses_a_message_that_breaks_the_rules(
    smtp: Smtp, simulated: Providers, content: bytes
) -> None:
    result = await smtp.send(sample_mail()._replace(content=content))
    assert result.outcome is Outcome.PERMANENT
    assert simulated.smtp.received.accepted == 0


async def test_the_simulator_tells_a_dead_mailbox_from_a_late_relay() -> None:
    async with SmtpSimulator() as relay:
        client = Smtp(SmtpSettings(base_url=relay.base_url), timeout=TIMEOUT)
        relay.script.then(Fault.INVALID_RECIPIENT, Fault.UNAVAILABLE, Fault.THROTTLED, Fault.REJECTED)
        outcomes = [(await client.send(sample_mail())).outcome for _ in range(4)]
        await client.close()
    assert outcomes == [Outcome.INVALID_RECIPIENT, Outcome.TRANSIENT, Outcome.THROTTLED, Outcome.PERMANENT]
