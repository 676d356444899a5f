"""Signed webhooks, against a gateway over real servers."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis
from yarl import URL

from pipeline.config import (
    CatalogueSettings,
    GatewaySettings,
    HttpSettings,
    KafkaSettings,
    MailgunSettings,
    PostgresSettings,
    ProviderSettings,
    ReceiptSettings,
    RedisSettings,
    SendGridSettings,
    SesSettings,
    Settings,
    TwilioSettings,
    VonageSettings,
)
from pipeline.events.references import Reference, Seal
from pipeline.events.vocabulary import Channel, Reason, Status
from pipeline.gateway.service import open_gateway
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.runtime import Runtime
from pipeline.storage.postgres import open_pool
from pipeline.storage.references import ReferenceShelf
from pipeline.storage.repositories import Repositories
from pipeline.storage.users import UserProfile
from pipeline.testing.receipts import Receipt, ReceiptKind
from pipeline.testing.ses import SesSimulator
from pipeline.testing.webhooks import (
    MailgunSigner,
    SendGridSigner,
    Signed,
    Signer,
    SnsSigner,
    TwilioSigner,
    VonageSigner,
)
from pipeline.testing.webhooks.sns import TOPIC
from pipeline.users.directory import UserDirectory
from tests.integration.gateway.conftest import CATALOGUE
from tests.integration.gateway.receipts.conftest import Person, told

pytestmark = [pytest.mark.broker, pytest.mark.asyncio(loop_scope="module")]

PUBLIC = "https://notify.example.com"
SEAL = Seal([b"sealing-wax"])
MAX_BODY = 65_536

TWILIO, VONAGE = TwilioSigner(), VonageSigner()
SENDGRID, MAILGUN, SES = SendGridSigner(), MailgunSigner(), SnsSigner()


@dataclass
class Hooks:
    """A gateway that knows the signers."""

    url: str
    session: aiohttp.ClientSession
    kafka: KafkaSettings
    runtime: Runtime
    directory: UserDirectory
    repositories: Repositories

    def path(self, provider: str) -> str:
        return f"{PUBLIC}/v1/webhooks/{provider}"

    async def post(self, signed: Signed) -> tuple[int, str]:
        """Post to the gateway what was signed for its public address."""
        target = URL(signed.url.replace(PUBLIC, self.url), encoded=True)
        async with self.session.post(target, data=signed.body, headers=signed.headers) as answer:
            return answer.status, await answer.text()

    async def tell(self, signer: Signer, receipt: Receipt) -> int:
        return (await self.post(signer.receipt(receipt, self.path(signer.name))))[0]

    async def statuses(self, person: Person) -> list[tuple[str, Status, Reason]]:
        return [(s.notification_id, s.status, s.reason) for s in await told(self.kafka, person)]

    async def suppressed(self, person: Person) -> list[tuple[Channel, str, str]]:
        """What the router sees now, by way of its cache."""
        found = (await self.directory.snapshots([person.user_id]))[person.user_id].suppressions
        return sorted((s.channel, s.stream, s.reason) for s in found)

    def counted(self, provider: str, outcome: str) -> float:
        return float(self.runtime.metrics.webhooks.labels(provider, outcome)._value.get())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator() -> AsyncIterator[SesSimulator]:
    async with SesSimulator() as simulator:
        SES.base_url, simulator.sns_certificate = simulator.base_url, SES.certificate
        yield simulator


@pytest.fixture(scope="module")
def settings_of_module(
    kafka: KafkaSettings,
    redis_settings: RedisSettings,
    postgres_of_module: PostgresSettings,
    simulator: SesSimulator,
) -> Settings:
    return Settings(
        kafka=kafka,
        redis=redis_settings,
        postgres=postgres_of_module,
        catalogue=CatalogueSettings(path=CATALOGUE),
        gateway=GatewaySettings(port=0),
        http=HttpSettings(public_url=PUBLIC),
        receipts=ReceiptSettings(secret=SecretStr("sealing-wax"), max_body_bytes=MAX_BODY),
        providers=ProviderSettings(
            twilio=TwilioSettings(auth_token=SecretStr(TWILIO.auth_token)),
            vonage=VonageSettings(signature_secret=SecretStr(VONAGE.secret)),
            sendgrid=SendGridSettings(webhook_public_key=SENDGRID.public_key),
            mailgun=MailgunSettings(webhook_signing_key=SecretStr(MAILGUN.signing_key)),
            ses=SesSettings(topics=f"{TOPIC}, {TOPIC}-2", sns_base_url=simulator.base_url),
        ),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(settings_of_module: Settings, redis: Redis) -> AsyncIterator[Hooks]:
    settings, runtime = settings_of_module, Runtime(settings_of_module, Health("service"), Metrics())
    async with (
        open_gateway(runtime) as url,
        aiohttp.ClientSession() as session,
        await open_pool(settings.postgres) as pool,
    ):
        directory = UserDirectory(pool, redis)
        yield Hooks(url, session, settings.kafka, runtime, directory, Repositories.over(pool, directory.changed))


@pytest_asyncio.fixture(loop_scope="module")
async def hooks(gateway: Hooks, ann: Person) -> Hooks:
    """Ann is in the router's cache, and nothing of hers is suppressed."""
    await gateway.repositories.users.put(UserProfile(user_id=ann.user_id, email=ann.email, phone=ann.phone))
    assert await gateway.suppressed(ann) == []
    gateway.runtime.metrics.webhooks.clear()
    return gateway


def of(kind: ReceiptKind, what: Reference, recipient: str) -> Receipt:
    return Receipt(kind, what.notification_id, recipient, "message-1", SEAL.close(what))


@pytest.mark.parametrize("signer", [SENDGRID, MAILGUN, SES], ids=lambda signer: signer.name)
async def test_a_mail_s_receipts_reach_the_status_topic_and_the_router_s_eyes(
    hooks: Hooks, ann: Person, signer: Signer
) -> None:
    mails = {kind: ann.reference(f"{kind}-1", stream="marketing") for kind in ReceiptKind}
    for kind, mail in mails.items():
        if kind is not ReceiptKind.BOUNCED:
            assert await hooks.tell(signer, of(kind, mail, ann.email)) == 200
            assert await hooks.tell(signer, of(kind, mail, ann.email)) == 200  # the provider tells it twice
    marketing = {r for c, s, r in await hooks.suppressed(ann) if (c, s) == (Channel.EMAIL, "marketing")}
    assert len(marketing) == 1  # the complaint, or what came after it
    assert await hooks.tell(signer, of(ReceiptKind.BOUNCED, mails[ReceiptKind.BOUNCED], ann.email)) == 200
    assert (Channel.EMAIL, "*", "bounce") in await hooks.suppressed(ann)
    assert sorted(await hooks.statuses(ann)) == sorted(
        (
            mail.notification_id,
            Status(kind.value),
            Reason.INVALID_RECIPIENT if kind is ReceiptKind.BOUNCED else Reason.REPORTED,
        )
        for kind, mail in mails.items()
    )
    assert hooks.counted(signer.name, "taken") == len(mails)
    assert hooks.counted(signer.name, "repeated") == len(mails) - 1


async def test_a_batch_is_written_as_a_whole_and_once(hooks: Hooks, ann: Person) -> None:
    mails = [ann.reference(f"order-{n}") for n in range(50)]
    events = [SENDGRID.event(of(ReceiptKind.DELIVERED, mail, ann.email)) for mail in mails]
    signed = SENDGRID.events(hooks.path("sendgrid"), [*events, *events, {"event": "processed"}])
    assert await hooks.post(signed) == (200, '{"taken":50,"repeated":50,"unknown":0,"ignored":1}')
    assert await hooks.post(signed) == (200, '{"taken":0,"repeated":1,"unknown":0,"ignored":0}')
    assert len(await hooks.statuses(ann)) == 50


@pytest.mark.parametrize("signer", [TWILIO, VONAGE], ids=lambda signer: signer.name)
async def test_an_sms_s_receipt_finds_its_notification_by_its_id(
    hooks: Hooks, settings_of_module: Settings, ann: Person, redis: Redis, signer: Signer
) -> None:
    sms = ann.reference("sms-1", Channel.SMS)
    await ReferenceShelf.of(redis, settings_of_module).put(sms)
    for kind in (ReceiptKind.DELIVERED, ReceiptKind.BOUNCED):  # in whatever order
        status, text = await hooks.post(signer.receipt(of(kind, sms, ann.phone), hooks.path(signer.name)))
        assert status == 200
        assert text.endswith("<Response/>") == (signer is TWILIO)  # Twilio wants TwiML
    assert {status for _, status, _ in await hooks.statuses(ann)} == {Status.DELIVERED, Status.BOUNCED}
    assert await hooks.suppressed(ann) == [(Channel.SMS, "*", "invalid_number")]


async def test_a_stop_counts_at_once_and_a_start_takes_back_no_more_than_the_stop(hooks: Hooks, ann: Person) -> None:
    url = hooks.path("twilio")
    stop = TWILIO.inbound(url, ann.phone, "Stop!")
    assert (await hooks.post(stop))[0] == 200
    assert await hooks.suppressed(ann) == [(Channel.SMS, "*", "stop")]
    assert (await hooks.post(TWILIO.inbound(url, ann.phone, "HELP")))[0] == 200
    assert (await hooks.post(TWILIO.inbound(url, ann.phone, "start")))[0] == 200
    assert await hooks.suppressed(ann) == []
    assert (await hooks.post(stop))[0] == 200  # replayed: it was taken before
    assert await hooks.suppressed(ann) == []
    await hooks.repositories.suppressions.add(Channel.SMS, ann.user_id, ann.phone, "*", "invalid_number")
    assert (await hooks.post(TWILIO.inbound(url, ann.phone, "start")))[0] == 200
    assert await hooks.suppressed(ann) == [(Channel.SMS, "*", "invalid_number")]
    assert await hooks.statuses(ann) == []


async def test_what_is_of_no_notification_of_ours_is_taken_and_counted(hooks: Hooks, ann: Person) -> None:
    stranger, ours = ann.reference("stranger"), ann.reference("ours")
    unsealed = of(ReceiptKind.DELIVERED, stranger, ann.email)._replace(reference="")
    forged = of(ReceiptKind.DELIVERED, stranger, ann.email)._replace(reference=Seal([b"another"]).close(stranger))
    swapped = of(ReceiptKind.DELIVERED, stranger, ann.email)._replace(reference=SEAL.close(ours))
    for receipt in (unsealed, forged, swapped):
        assert await hooks.tell(MAILGUN, receipt) == 200
    assert hooks.counted("mailgun", "unknown") == 3
    assert await hooks.statuses(ann) == []


async def test_what_is_not_the_provider_s_changes_nothing(hooks: Hooks, ann: Person) -> None:
    bounce = of(ReceiptKind.BOUNCED, ann.reference(), ann.email)
    long_ago = time.time() - 90_000
    stale = SendGridSigner(lambda: long_ago)
    stale._key = SENDGRID._key
    old_ses = SnsSigner(SES.base_url, lambda: long_ago)
    old_ses._key = SES._key
    for signer, status in ((SENDGRID, 403), (MAILGUN, 406), (SES, 403), (TWILIO, 403)):
        signed = signer.receipt(bounce, hooks.path(signer.name))
        assert (await hooks.post(signed._replace(body=signed.body.replace(b"a", b"b", 1))))[0] == status
        bare = {"Content-Type": signed.headers["Content-Type"]}
        if signer in (SENDGRID, TWILIO):
            assert (await hooks.post(signed._replace(headers=bare)))[0] == status
    for old in (stale, old_ses):
        assert (await hooks.post(old.receipt(bounce, hooks.path(old.name))))[0] == 403
    other_topic = SES.notification(hooks.path("ses"), "{}", topic=TOPIC + "-of-somebody-else")
    assert (await hooks.post(other_topic))[0] == 403
    assert await hooks.suppressed(ann) == []
    assert await hooks.statuses(ann) == []


async def test_a_signature_counts_for_one_request_alone(hooks: Hooks, ann: Person) -> None:
    url = hooks.path("mailgun")
    delivered, bounced = (
        MAILGUN.event_data(of(kind, ann.reference(), ann.email))
        for kind in (ReceiptKind.DELIVERED, ReceiptKind.BOUNCED)
    )
    assert (await hooks.post(MAILGUN.event(url, delivered, token="t" * 50)))[0] == 200
    assert (await hooks.post(MAILGUN.event(url, bounced, token="t" * 50)))[0] == 406
    assert await hooks.suppressed(ann) == []


@pytest.mark.parametrize(("provider", "status"), [("fcm", 404), ("acme", 404)])
async def test_a_provider_that_nobody_has_set_up_is_not_taken(hooks: Hooks, provider: str, status: int) -> None:
    signed = Signed(hooks.path(provider), {"Content-Type": "application/json"}, b"{}")
    assert (await hooks.post(signed))[0] == status


async def test_a_body_that_is_too_long_or_of_another_kind_is_refused(hooks: Hooks) -> None:
    long = SENDGRID.sign(hooks.path("sendgrid"), b"[" + b" " * MAX_BODY + b"]")
    assert (await hooks.post(long))[0] == 413
    page = SENDGRID.sign(hooks.path("sendgrid"), b"<p>")
    assert (await hooks.post(page._replace(headers={**page.headers, "Content-Type": "text/html"})))[0] == 415


async def test_a_subscription_to_our_topic_is_confirmed(hooks: Hooks, simulator: SesSimulator) -> None:
    assert (await hooks.post(SES.confirmation(hooks.path("ses"))))[0] == 200
    assert simulator.confirmed == [TOPIC]
