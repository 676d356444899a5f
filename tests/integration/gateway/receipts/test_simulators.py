"""From a provider's client through its simulator and the signed webhook back to the status topic."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from pipeline.config import CatalogueSettings, GatewaySettings, HttpSettings, KafkaSettings, RedisSettings, Settings
from pipeline.config import PostgresSettings as Postgres
from pipeline.embedded.servers import free_port
from pipeline.events.vocabulary import Channel, Status
from pipeline.gateway.service import open_gateway
from pipeline.observability.health import Health
from pipeline.observability.metrics import Metrics
from pipeline.providers.mailers import open_mailer
from pipeline.providers.sms import SmsMessage
from pipeline.providers.sms_providers import open_sms_provider
from pipeline.runtime import Runtime
from pipeline.storage.references import ReferenceShelf, open_seal
from pipeline.testing.behaviour import Fault
from pipeline.testing.mails import sample_mail
from pipeline.testing.providers import Providers
from tests.integration.gateway.conftest import CATALOGUE
from tests.integration.gateway.receipts.conftest import Person, told

pytestmark = [pytest.mark.broker, pytest.mark.asyncio(loop_scope="module")]

TWILIO, VONAGE = "twilio", "vonage"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def providers() -> AsyncIterator[Providers]:
    async with Providers(seed=1, receipts_to=f"http://127.0.0.1:{free_port()}") as providers:
        yield providers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def settings_of_module(
    kafka: KafkaSettings, redis_settings: RedisSettings, postgres_of_module: Postgres, providers: Providers
) -> AsyncIterator[Settings]:
    """Those of a running gateway at which the simulators' receipts arrive."""
    url = providers.receipts.url
    with pytest.MonkeyPatch.context() as patch:
        for name, value in providers.environment().items():
            patch.setenv(name, value)
        settings = Settings(
            kafka=kafka,
            redis=redis_settings,
            postgres=postgres_of_module,
            catalogue=CatalogueSettings(path=CATALOGUE),
            gateway=GatewaySettings(port=int(url.rpartition(":")[2])),
            http=HttpSettings(public_url=url),
        )
    async with open_gateway(Runtime(settings, Health("service"), Metrics())):
        yield settings


async def outcomes(settings: Settings, providers: Providers, ann: Person) -> dict[str, Status]:
    """What was told of Ann's notifications, by id, once all of it is there."""
    await providers.receipts.finish()
    assert set(providers.receipts.answers) == {200}
    return {status.notification_id: status.status for status in await told(settings.kafka, ann)}


@pytest.mark.parametrize("name", ["ses", "sendgrid", "mailgun"])
async def test_a_mail_is_told_to_have_arrived_or_to_have_bounced(
    settings_of_module: Settings, providers: Providers, ann: Person, name: str
) -> None:
    seal, mailer = open_seal(settings_of_module), open_mailer(name, settings_of_module.providers, timeout=30)
    good, bad = ann.reference("good"), ann.reference("bad")
    await mailer.start()
    for reference, fault in ((good, None), (bad, Fault.INVALID_RECIPIENT)):
        getattr(providers, name).script.then(fault)
        mail = sample_mail(reference.notification_id, ann.email)
        assert (await mailer.send(mail._replace(reference=seal.close(reference)))).message_id
    await mailer.close()
    assert await outcomes(settings_of_module, providers, ann) == {
        good.notification_id: Status.DELIVERED,
        bad.notification_id: Status.BOUNCED,
    }


@pytest.mark.parametrize("name", [TWILIO, VONAGE])
async def test_an_sms_is_told_to_have_arrived(
    settings_of_module: Settings, providers: Providers, ann: Person, redis: Redis, name: str
) -> None:
    sms, client = ann.reference("sms", Channel.SMS), open_sms_provider(name, settings_of_module.providers, timeout=30)
    await ReferenceShelf.of(redis, settings_of_module).put(sms)
    callback = f"{providers.receipts.url}/v1/webhooks/{name}?notification_id={sms.notification_id}"
    await client.start()
    message = SmsMessage("+15005550006", "hello", True, "+15005550006", sms.notification_id, callback, "transactional")
    assert (await client.send(message)).message_id
    await client.close()
    assert await outcomes(settings_of_module, providers, ann) == {sms.notification_id: Status.DELIVERED}
