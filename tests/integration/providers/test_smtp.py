"""SMTP over real sockets, against the simulator."""

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from pipeline.config import SmtpSettings
from pipeline.errors import ConfigurationError
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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "relay.pem"
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, private, serialization.NoEncryption()))
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


LOGIN = ("relay-user", "relay-password")


def client_of(relay: SmtpSimulator, **settings: object) -> Smtp:
    return Smtp(SmtpSettings.model_validate({"base_url": relay.base_url} | settings), timeout=5)


async def outcomes(client: Smtp, count: int = 3) -> list[Outcome]:
    found = [(await client.send(sample_mail(f"n{number}"))).outcome for number in range(count)]
    await client.close()
    return found


@pytest.mark.parametrize("implicit", [True, False], ids=["smtps", "STARTTLS"])
@pytest.mark.parametrize("pipelining", [True, False])
async def test_mails_go_over_an_encrypted_connection_after_a_login(
    certificate: Path, server_tls: ssl.SSLContext, implicit: bool, pipelining: bool
) -> None:
    async with SmtpSimulator(tls=server_tls, implicit_tls=implicit, login=LOGIN, pipelining=pipelining) as relay:
        client = client_of(relay, ca_file=certificate, username=LOGIN[0], password=SecretStr(LOGIN[1]))
        assert (await client.check()).outcome is Outcome.ACCEPTED
        assert await outcomes(client) == [Outcome.ACCEPTED] * 3
        assert relay.received.by_notification() == {"n0": 1, "n1": 1, "n2": 1}
        assert (relay.connections, relay.logins) == (2, 2), "one for the check, one for all mails"


async def test_starttls_is_used_where_it_is_offered_and_required(certificate: Path, server_tls: ssl.SSLContext) -> None:
    for starttls in ("auto", "require"):
        async with SmtpSimulator(tls=server_tls) as relay:
            assert await outcomes(client_of(relay, ca_file=certificate, starttls=starttls)) == [Outcome.ACCEPTED] * 3


async def test_a_certificate_that_nobody_vouches_for_is_our_configuration(server_tls: ssl.SSLContext) -> None:
    async with SmtpSimulator(tls=server_tls) as relay:
        client = client_of(relay)
        result = await client.send(sample_mail())
        assert (result.outcome, result.error) == (Outcome.CONFIGURATION, "certificate")
        assert (await client.check()).outcome is Outcome.CONFIGURATION
        assert relay.received.accepted == 0


async def test_a_wrong_password_is_our_configuration(certificate: Path, server_tls: ssl.SSLContext) -> None:
    async with SmtpSimulator(tls=server_tls, login=LOGIN) as relay:
        client = client_of(relay, ca_file=certificate, username=LOGIN[0], password=SecretStr("wrong"))
        assert (await client.send(sample_mail())).outcome is Outcome.CONFIGURATION
        assert (await client.check()).outcome is Outcome.CONFIGURATION
        anonymous = client_of(relay, ca_file=certificate)
        assert (await anonymous.send(sample_mail())).outcome is Outcome.CONFIGURATION


async def test_no_password_goes_out_in_the_clear_unless_the_settings_say_so() -> None:
    async with SmtpSimulator(login=LOGIN) as relay:
        credentials = {"username": LOGIN[0], "password": SecretStr(LOGIN[1])}
        assert (await client_of(relay, **credentials).send(sample_mail())).outcome is Outcome.CONFIGURATION
        assert relay.logins == 0
        assert await outcomes(client_of(relay, starttls="never", **credentials)) == [Outcome.ACCEPTED] * 3


def test_an_authority_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"providers\.smtp\.ca_file"):
        Smtp(SmtpSettings(ca_file=tmp_path / "none.pem"), timeout=1)


@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_refused_recipient_gets_no_content_and_the_connection_lives(pipelining: bool) -> None:
    async with SmtpSimulator(pipelining=pipelining) as relay:
        client = client_of(relay)
        relay.answer_next(("RCPT", "550 5.1.1 No such user"))
        assert (await client.send(sample_mail("dead"))).outcome is Outcome.INVALID_RECIPIENT
        assert (await client.send(sample_mail("next"))).outcome is Outcome.ACCEPTED
        await client.close()
        assert relay.received.by_notification() == {"next": 1}
        assert relay.connections == 1


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def relay_that(talk: Talk, *, greets: bool = True) -> AsyncIterator[str]:
    """A relay that greets, answers EHLO with PIPELINING, and then does what the test says; its address."""
    talks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if greets:
                writer.write(b"220 relay\r\n")
                await reader.readline()
                writer.write(b"250-relay\r\n250-SIZE 1000000\r\n250 PIPELINING\r\n")
            await talk(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await asyncio.wait_for(asyncio.gather(*filter(None, talks)), 5)


async def commands(reader: asyncio.StreamReader, count: int = 3) -> list[bytes]:
    return [await reader.readline() for _ in range(count)]


async def test_envelope_and_data_come_together_with_the_size() -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await commands(reader))
        writer.write(b"250 ok\r\n250-first\r\n250 second\r\n354 go\r\n")
        seen.append(await reader.readuntil(b"\r\n.\r\n"))
        writer.write(b"250 2.0.0 queued as A1\r\n")
        await reader.read()

    mail = sample_mail()
    async with relay_that(talk) as url:
        client = Smtp(SmtpSettings(base_url=url), timeout=TIMEOUT)
        result = await client.send(mail)
        assert (result.outcome, result.message_id) == (Outcome.ACCEPTED, "A1")
        await client.close()
    size = len(mail.content)
    assert seen[:3] == [
        f"MAIL FROM:<shop@mail.example.com> SIZE={size}\r\n".encode(),
        b"RCPT TO:<ada@example.com>\r\n",
        b"DATA\r\n",
    ]
    assert seen[3] == mail.content + b".\r\n"


async def test_a_relay_that_wants_content_for_a_refused_recipient_gets_none() -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await commands(reader)
        writer.write(b"250 ok\r\n550 5.1.1 nobody\r\n354 go\r\n")
        seen.append(await reader.readline())
        writer.write(b"554 no recipients\r\n")
        seen.append(await reader.readline())
        writer.write(b"250 reset\r\n")
        await reader.read()

    async with relay_that(talk) as url:
        client = Smtp(SmtpSettings(base_url=url), timeout=TIMEOUT)
        assert (await client.send(sample_mail())).outcome is Outcome.INVALID_RECIPIENT
        await client.close()
    assert seen == [b".\r\n", b"RSET\r\n"]


@pytest.mark.parametrize(
    "answer",
    [b"", b"hello\r\n", b"999\r\n", b"250 ok\r\n250 ok\r\n354 go\r\n250 one too many\r\n", b"x" * 200_000],
    ids=["closes", "no reply", "no text", "too many", "endless line"],
)
async def test_what_is_no_relay_gets_no_content(answer: bytes) -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await commands(reader)
        writer.write(answer)
        if answer:
            seen.append(await reader.read(100))

    async with relay_that(talk) as url:
        result = await Smtp(SmtpSettings(base_url=url), timeout=TIMEOUT).send(sample_mail())
    assert result.outcome in {Outcome.TRANSIENT, Outcome.PERMANENT}
    assert not seen or seen[0] in {b"", b"RSET\r\n"}


@pytest.mark.parametrize("silent_after", ["greeting", "envelope", "content"])
async def test_a_silent_relay_costs_no_more_than_the_time_of_a_send(silent_after: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if silent_after == "content":
            await commands(reader)
            writer.write(b"250 ok\r\n250 ok\r\n354 go\r\n")
        await reader.read()

    async with relay_that(talk, greets=silent_after != "greeting") as url:
        client = Smtp(SmtpSettings(base_url=url, connections=1), timeout=TIMEOUT)
        started = time.monotonic()
        first, second = await asyncio.gather(client.send(sample_mail()), client.send(sample_mail("n2")))
        assert time.monotonic() - started < 4 * TIMEOUT
    assert first.outcome is (Outcome.AMBIGUOUS if silent_after == "content" else Outcome.TRANSIENT)
    assert second.outcome in {Outcome.THROTTLED, Outcome.TRANSIENT, Outcome.AMBIGUOUS}


async def test_a_send_that_gets_no_connection_in_time_is_put_off_and_costs_no_try(simulated: Providers) -> None:
    settings = SmtpSettings(base_url=simulated.smtp.base_url, connections=1)
    client = Smtp(settings, timeout=10 * TIMEOUT)
    simulated.smtp.script.then(Fault.NO_ANSWER)
    holding = asyncio.create_task(client.send(sample_mail("holds")))
    await asyncio.sleep(TIMEOUT / 2)
    client._timeout = TIMEOUT
    result = await client.send(sample_mail("waits"))
    assert (result.outcome, result.error) == (Outcome.THROTTLED, "no_free_connection")
    holding.cancel()
    await asyncio.wait([holding])
    assert (await client.send(sample_mail("next"))).outcome is Outcome.ACCEPTED
    await client.close()


async def test_an_address_that_would_end_its_command_is_never_sent(simulated: Providers) -> None:
    client = Smtp(SmtpSettings(base_url=simulated.smtp.base_url), timeout=TIMEOUT)
    for recipient in ("a@b.c>\r\nRCPT TO:<x@y.z", "a b@c.de", "jörg@example.com"):
        assert (await client.send(sample_mail()._replace(recipient=recipient))).outcome is Outcome.PERMANENT
    assert (await client.send(sample_mail())).outcome is Outcome.ACCEPTED
    await client.close()
    assert simulated.smtp.received.accepted == 1
