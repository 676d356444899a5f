"""SES, SendGrid and Mailgun over real sockets, against their simulators: every row of their error tables, in their words."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from pipeline.config import (
    AccountSettings,
    EmailSettings,
    MailgunSettings,
    ProviderSettings,
    SendGridSettings,
    SesSettings,
    Settings,
)
from pipeline.errors import ConfigurationError
from pipeline.observability.account_checks import examine_mail
from pipeline.observability.finding import Finding, Level
from pipeline.providers import mailgun, sendgrid, ses_table
from pipeline.providers.base import Outcome, Scope
from pipeline.providers.mail import MailProvider
from pipeline.providers.mailers import MAILERS, open_mailer
from pipeline.testing import mailgun as mailgun_simulator
from pipeline.testing import sendgrid as sendgrid_simulator
from pipeline.testing import ses as ses_simulator
from pipeline.testing.behaviour import Behaviour, Fault
from pipeline.testing.http_simulator import HttpSimulator, Reply
from pipeline.testing.mailgun import MailgunSimulator
from pipeline.testing.mails import sample_mail
from pipeline.testing.providers import DOMAINS
from pipeline.testing.receipts import Receipt, ReceiptKind
from pipeline.testing.sendgrid import SendGridSimulator
from pipeline.testing.ses import REGION, SesSimulator

TIMEOUT = 0.3
NAMES = ("ses", "sendgrid", "mailgun")


def settings_for(simulator: HttpSimulator, *, base_url: str = "", wrong_key: bool = False) -> ProviderSettings:
    url = base_url or simulator.base_url
    match simulator:
        case SesSimulator():
            return ProviderSettings(
                ses=SesSettings(
                    base_url=url,
                    region=REGION,
                    access_key_id=simulator.access_key_id,
                    secret_access_key=SecretStr("wrong" if wrong_key else simulator.secret_access_key),
                    configuration_sets={"marketing": "news"},
                )
            )
        case SendGridSimulator():
            key = SecretStr("wrong" if wrong_key else simulator.api_key)
            return ProviderSettings(
                sendgrid=SendGridSettings(base_url=url, api_key=key, ip_pools={"marketing": "news"})
            )
        case MailgunSimulator():
            key = SecretStr("wrong" if wrong_key else simulator.api_key)
            return ProviderSettings(mailgun=MailgunSettings(base_url=url, api_key=key, domains=DOMAINS))
        case _:
            raise AssertionError(simulator)


SIMULATORS: Mapping[str, type[HttpSimulator]] = {
    "ses": SesSimulator,
    "sendgrid": SendGridSimulator,
    "mailgun": MailgunSimulator,
}


@dataclass(frozen=True)
class Account:
    name: str
    simulator: HttpSimulator
    client: MailProvider

    async def another(self, *, base_url: str = "", wrong_key: bool = False) -> MailProvider:
        settings = settings_for(self.simulator, base_url=base_url, wrong_key=wrong_key)
        client = open_mailer(self.name, settings, timeout=TIMEOUT)
        await client.start()
        return client


async def open_account(name: str) -> AsyncIterator[Account]:
    async with SIMULATORS[name]() as simulator:
        client = open_mailer(name, settings_for(simulator), timeout=TIMEOUT)
        await client.start()
        yield Account(name, simulator, client)
        await client.close()


@pytest.fixture(params=NAMES)
async def account(request: pytest.FixtureRequest) -> AsyncIterator[Account]:
    async for opened in open_account(request.param):
        yield opened


@pytest.fixture
async def row_account(request: pytest.FixtureRequest) -> AsyncIterator[Account]:
    async for opened in open_account(request.param):
        yield opened


async def test_mails_arrive_once_with_the_providers_id(account: Account) -> None:
    mails = [sample_mail(f"n{n}", f"user{n}@example.com", text="Zoë & 李雷 = 100%\n+" if n else "") for n in range(20)]
    results = await asyncio.gather(*map(account.client.send, mails))
    assert {(result.outcome, result.provider) for result in results} == {(Outcome.ACCEPTED, account.name)}
    assert len({result.message_id for result in results} - {""}) == 20
    assert account.simulator.received.by_notification() == {f"n{n}": 1 for n in range(20)}
    assert not account.simulator.received.refused


async def test_marketing_goes_through_its_own_pool(account: Account) -> None:
    mail = sample_mail(sender="News <news@news.example.com>", stream="marketing")
    assert (await account.client.send(mail)).outcome is Outcome.ACCEPTED


async def test_the_check_sends_nothing_and_tells_a_good_key_from_a_bad_one(account: Account) -> None:
    assert (await account.client.check()).outcome is Outcome.ACCEPTED
    wrong = await account.another(wrong_key=True)
    assert (await wrong.check()).outcome is Outcome.CONFIGURATION
    assert (await wrong.send(sample_mail())).outcome is Outcome.CONFIGURATION
    await wrong.close()
    assert account.simulator.received.accepted == 0


@pytest.mark.parametrize(("fault", "accepted"), [(Fault.RESET_BEFORE, 0), (Fault.RESET_AFTER, 1), (Fault.NO_ANSWER, 1)])
async def test_a_lost_answer_is_in_doubt(account: Account, fault: Fault, accepted: int) -> None:
    account.simulator.script.then(fault)
    assert (await account.client.send(sample_mail("lost"))).outcome is Outcome.AMBIGUOUS
    assert account.simulator.received.by_notification()["lost"] == accepted


async def test_a_late_answer_that_is_still_waited_for_is_an_answer(account: Account) -> None:
    account.simulator.script.behaviour = Behaviour(late_after=TIMEOUT / 3)
    account.simulator.script.then(Fault.LATE)
    assert (await account.client.send(sample_mail("late"))).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault.REJECTED, Outcome.PERMANENT),
        (Fault.CONFIGURATION, Outcome.CONFIGURATION),
        (Fault.THROTTLED, Outcome.THROTTLED),
        (Fault.UNAVAILABLE, Outcome.TRANSIENT),
        (Fault.INVALID_RECIPIENT, Outcome.ACCEPTED),  # these three take the mail and bounce it later
    ],
)
async def test_each_fault_is_told_in_the_providers_words(account: Account, fault: Fault, expected: Outcome) -> None:
    account.simulator.script.then(fault)
    assert (await account.client.send(sample_mail())).outcome is expected


async def test_a_dead_address_is_accepted_and_bounces_in_a_receipt(account: Account) -> None:
    receipts: list[Receipt] = []
    account.simulator.on_receipt = receipts.append
    account.simulator.script.then(Fault.INVALID_RECIPIENT, None, Fault.UNAVAILABLE)
    results = [await account.client.send(sample_mail(f"n{n}")) for n in range(3)]
    assert [(receipt.kind, receipt.notification_id) for receipt in receipts] == [
        (ReceiptKind.BOUNCED, "n0"),
        (ReceiptKind.DELIVERED, "n1"),
    ]
    assert [receipt.message_id for receipt in receipts] == [result.message_id for result in results[:2]]


async def test_a_server_that_is_not_there_is_worth_another_try(account: Account) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = await account.another(base_url=f"http://127.0.0.1:{unused.getsockname()[1]}")
        assert (await client.send(sample_mail())).outcome is Outcome.TRANSIENT
        assert (await client.check()).outcome is Outcome.TRANSIENT
        await client.close()


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_a_success_that_is_not_the_providers_is_in_doubt(account: Account, status: int) -> None:
    account.simulator.answer_next(Reply(status, b"<html>signed in</html>" if status != 204 else b""))
    assert (await account.client.send(sample_mail())).outcome is Outcome.AMBIGUOUS


@pytest.mark.parametrize(
    ("status", "expected"),
    [(302, Outcome.CONFIGURATION), (418, Outcome.PERMANENT), (599, Outcome.TRANSIENT)],
)
async def test_a_status_in_no_table_has_its_documented_default(
    account: Account, status: int, expected: Outcome
) -> None:
    account.simulator.answer_next(Reply(status, b"<html>", {"Location": "https://example.com/"}))
    result = await account.client.send(sample_mail())
    assert (result.outcome, result.error) == (expected, str(status))


SES_ERRORS = {
    Outcome.PERMANENT: {
        400: ("MessageRejected", "BadRequestException", "ValidationError"),
        413: ("RequestEntityTooLargeException",),
    },
    Outcome.CONFIGURATION: {
        400: ("AccountSuspendedException", "MailFromDomainNotVerifiedException", "RequestExpired"),
        401: ("NotAuthorized",),
        403: (
            "AccessDeniedException",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "OptInRequired",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        404: ("NotFoundException",),
    },
    Outcome.THROTTLED: {400: ("LimitExceededException", "ThrottlingException"), 429: ("TooManyRequestsException",)},
    Outcome.TRANSIENT: {
        400: ("SendingPausedException", "RequestAbortedException"),
        408: ("RequestTimeoutException",),
        500: ("InternalFailure", "InternalServiceErrorException"),
        503: ("ServiceUnavailable",),
    },
}
SES_ROWS = [
    (outcome, status, name)
    for outcome, statuses in SES_ERRORS.items()
    for status, names in statuses.items()
    for name in names
]


@pytest.mark.parametrize("row_account", ["ses"], indirect=True)
async def test_every_exception_of_ses_has_its_outcome(row_account: Account) -> None:
    for expected, status, name in SES_ROWS:
        row_account.simulator.answer_next(ses_simulator.error_reply(status, name))
        result = await row_account.client.send(sample_mail())
        assert (result.outcome, result.error) == (expected, name)
    assert {name for _, _, name in SES_ROWS} == set(ses_table.ERROR_CODES)


@pytest.mark.parametrize("row_account", ["ses"], indirect=True)
async def test_an_unverified_identity_is_our_configuration_and_its_address_is_not_repeated(
    row_account: Account,
) -> None:
    text = "Email address is not verified. The following identities failed the check in region EU-WEST-1: a@b.c"
    row_account.simulator.answer_next(ses_simulator.error_reply(400, "MessageRejected", text))
    result = await row_account.client.send(sample_mail())
    assert (result.outcome, result.error) == (Outcome.CONFIGURATION, "MessageRejected")


@pytest.mark.parametrize("row_account", ["ses"], indirect=True)
async def test_the_type_in_the_body_counts_where_the_header_is_missing(row_account: Account) -> None:
    body = json.dumps({"__type": "com.amazonaws.ses#ThrottlingException", "message": "Maximum sending rate exceeded."})
    row_account.simulator.answer_next(Reply(400, body.encode()))
    assert (await row_account.client.send(sample_mail())).outcome is Outcome.THROTTLED


STATUS_ROWS = {
    "ses": {
        Outcome.PERMANENT: (400, 413),
        Outcome.CONFIGURATION: (401, 403, 404),
        Outcome.THROTTLED: (429,),
        Outcome.TRANSIENT: (408, 500, 503),
    },
    "sendgrid": {
        Outcome.PERMANENT: (400, 413),
        Outcome.CONFIGURATION: (401, 403, 404, 405, 406),
        Outcome.THROTTLED: (429,),
        Outcome.TRANSIENT: (408, 500, 502, 503, 504),
    },
    "mailgun": {
        Outcome.PERMANENT: (400, 413),
        Outcome.CONFIGURATION: (401, 403, 404),
        Outcome.THROTTLED: (429,),
        Outcome.TRANSIENT: (408, 500, 502, 503, 504),
    },
}
TABLES = {"ses": ses_table.STATUSES, "sendgrid": sendgrid.STATUSES, "mailgun": mailgun.STATUSES}


async def test_every_status_has_its_outcome(account: Account) -> None:
    rows = STATUS_ROWS[account.name]
    for expected, statuses in rows.items():
        for status in statuses:
            account.simulator.answer_next(Reply(status, b"<html>"))
            result = await account.client.send(sample_mail())
            assert (result.outcome, result.error) == (expected, str(status))
    assert {status for statuses in rows.values() for status in statuses} == set(TABLES[account.name])


async def test_throttling_says_how_long(account: Account) -> None:
    account.simulator.answer_next(Reply(429, b"", {"Retry-After": "3"}))
    assert (await account.client.send(sample_mail())).retry_after == 3.0


@pytest.mark.parametrize("row_account", ["sendgrid"], indirect=True)
async def test_sendgrids_limit_says_when_it_is_reset(row_account: Account) -> None:
    reset = {"X-RateLimit-Reset": str(int(time.time()) + 60)}
    row_account.simulator.answer_next(sendgrid_simulator.error_reply(429, **reset))
    wait = (await row_account.client.send(sample_mail())).retry_after
    assert wait is not None
    assert 50 < wait <= 60


@pytest.mark.parametrize("row_account", ["mailgun"], indirect=True)
async def test_mailguns_limit_says_in_its_text_how_long(row_account: Account) -> None:
    text = "Domain example.com is not allowed to send: account-requests-per-sec limit exceeded, try again after 120 seconds"
    row_account.simulator.answer_next(mailgun_simulator.error_reply(429, text))
    assert (await row_account.client.send(sample_mail())).retry_after == 120.0


async def test_what_a_simulator_does_not_know_it_refuses() -> None:
    known = frozenset({"mail.example.com"})
    async with (
        SesSimulator(verified_domains=known, configuration_sets=frozenset({"tx"})) as ses,
        SendGridSimulator(ip_pools=frozenset({"tx"})) as sendgrid_,
        MailgunSimulator(domains=known) as mailgun_,
    ):
        for name, simulator, expected in (
            ("ses", ses, Outcome.CONFIGURATION),
            ("sendgrid", sendgrid_, Outcome.PERMANENT),
            ("mailgun", mailgun_, Outcome.CONFIGURATION),
        ):
            client = open_mailer(name, settings_for(simulator), timeout=TIMEOUT)
            await client.start()
            assert (await client.send(sample_mail())).outcome is Outcome.ACCEPTED
            news = sample_mail(sender="news@news.example.com", stream="marketing")
            assert (await client.send(news)).outcome is expected
            await client.close()


@pytest.mark.parametrize("row_account", ["sendgrid"], indirect=True)
async def test_a_key_that_may_not_send_fails_the_check(row_account: Account) -> None:
    assert isinstance(row_account.simulator, SendGridSimulator)
    row_account.simulator.scopes = ["stats.read"]
    assert (await row_account.client.check()).outcome is Outcome.CONFIGURATION


@pytest.mark.parametrize("name", NAMES)
def test_an_account_that_is_not_set_names_the_setting(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"providers\.{name}\."):
        open_mailer(name, ProviderSettings(), timeout=TIMEOUT)


def test_every_mail_provider_is_there_by_its_name() -> None:
    assert set(MAILERS) == {"smtp", *NAMES}


async def test_the_doctor_tells_a_good_account_from_a_bad_one_and_from_one_that_is_away(account: Account) -> None:
    async def found(providers: ProviderSettings) -> Finding:
        email = EmailSettings(providers=(AccountSettings(name=account.name),))
        (finding,) = await examine_mail(Settings(providers=providers, email=email))
        return finding

    assert (await found(settings_for(account.simulator))).level is Level.OK
    refused = await found(settings_for(account.simulator, wrong_key=True))
    assert (refused.level, refused.remedy) == (Level.FAIL, f"mend providers.{account.name}")
    away = await found(settings_for(account.simulator, base_url="http://127.0.0.1:1"))
    assert (away.level, "base_url" in away.remedy) == (Level.WARN, True)
    unset = await found(ProviderSettings())
    assert (unset.level, f"providers.{account.name}." in unset.detail) == (Level.FAIL, True)


async def test_the_doctor_asks_each_account_with_its_own_settings() -> None:
    async with SendGridSimulator() as first, MailgunSimulator(domains=frozenset({"eu.example.com"})) as second:
        own = {"base_url": second.base_url, "api_key": second.api_key, "domains": {"transactional": "eu.example.com"}}
        accounts = (
            AccountSettings(name="sendgrid"),
            AccountSettings.model_validate({"name": "mailgun-eu", "provider": "mailgun", "settings": own}),
            AccountSettings(name="pigeons"),
        )
        settings = Settings(providers=settings_for(first), email=EmailSettings(providers=accounts))
        found = await examine_mail(settings)
    assert [(finding.name, finding.level) for finding in found] == [
        ("sendgrid account", Level.OK),
        ("mailgun-eu account", Level.OK),
        ("pigeons account", Level.FAIL),
    ]


@pytest.mark.parametrize(
    ("row_account", "reply", "scope"),
    [
        ("ses", ses_simulator.error_reply(403, "SignatureDoesNotMatch"), Scope.ACCOUNT),
        ("ses", ses_simulator.error_reply(400, "MailFromDomainNotVerifiedException"), Scope.MESSAGE),
        (
            "ses",
            ses_simulator.error_reply(400, "MessageRejected", "Email address is not verified. a@b.c"),
            Scope.MESSAGE,
        ),
        ("ses", Reply(403, b"<html>"), Scope.ACCOUNT),
        ("sendgrid", sendgrid_simulator.error_reply(401), Scope.ACCOUNT),
        ("sendgrid", sendgrid_simulator.error_reply(403, "not a verified Sender Identity", "from"), Scope.MESSAGE),
        ("sendgrid", sendgrid_simulator.error_reply(403, "access forbidden"), Scope.UNKNOWN),
        ("mailgun", Reply(401, b"Forbidden"), Scope.ACCOUNT),
        ("mailgun", mailgun_simulator.error_reply(404, "Domain not found"), Scope.MESSAGE),
    ],
    indirect=["row_account"],
)
async def test_a_sender_that_is_refused_leaves_the_account_to_the_others(
    row_account: Account, reply: Reply, scope: Scope
) -> None:
    row_account.simulator.answer_next(reply)
    result = await row_account.client.send(sample_mail())
    assert (result.outcome, result.scope) == (Outcome.CONFIGURATION, scope)


async def test_a_simulator_keeps_what_it_was_sent(account: Account) -> None:
    account.simulator.script.then(None, Fault.UNAVAILABLE)
    for _ in range(2):
        await account.client.send(sample_mail())
    (body,) = account.simulator.bodies
    assert b"ada" in body or b"YWRh" in body
