"""Every channel as a worker opens it: from the settings to the provider, the inbox and the connected clients."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from pipeline.channels.base import ChannelSender
from pipeline.channels.factory import open_sender
from pipeline.config import AccountSettings, EmailSettings, ProviderSettings, Settings, SmsSettings, WarmUpSettings
from pipeline.errors import CatalogueError, ConfigurationError
from pipeline.events.records import Dispatch, NotificationRequested
from pipeline.events.vocabulary import Channel, Origin, Priority, Reason
from pipeline.kafka.names import IN_APP_CHANNEL
from pipeline.observability.metrics import Metrics
from pipeline.providers.base import Outcome, SendResult
from pipeline.storage.devices import DeviceRegistry
from pipeline.storage.inbox import Inbox
from pipeline.storage.postgres import Pool
from pipeline.storage.suppressions import Suppressions
from pipeline.testing.providers import Providers
from pipeline.testing.sns import error_reply as sns_error
from pipeline.testing.twilio import error_reply as twilio_error
from pipeline.users.snapshot import Device, UserSnapshot

TEMPLATES = Path(__file__).parents[3] / "examples" / "templates"
ID = "0b5cf7b1-6a6f-5d0e-8a76-6f0e0a3a1b2c"
USER = UserSnapshot(
    user_id="user_1",
    version=1,
    known=True,
    email="ada@example.com",
    phone="+15005550006",
    locale="de-AT",
    devices=[Device("phone", "android", "token-1")],
)


def dispatch(channel: Channel) -> Dispatch:
    event = NotificationRequested(
        event_id="evt_1",
        event_type="order.shipped",
        recipient_id="user_1",
        channels=[],
        priority=None,
        data=json.dumps({"order_id": "ORD-1", "tracking_url": "https://example.com/track/1"}),
        idempotency_key="key",
        created_at=1_771_840_800_000,
    )
    return Dispatch(
        notification_id=ID,
        channel=channel,
        priority=Priority.HIGH,
        category="orders",
        stream="transactional",
        template="order_shipped",
        collapse_key=None,
        expires_at=None,
        rule="allow",
        policy_version="1",
        decided_at=0,
        origin=Origin.INGEST,
        trace_id="",
        event=event,
    )


class Worker:
    """What a worker process has at hand to open a channel with."""

    def __init__(self, simulated: Providers, redis: Redis, pool: Pool) -> None:
        environment = simulated.environment()
        prefix = "PIPELINE_PROVIDERS__"
        sections: dict[str, dict[str, object]] = {}
        for name, value in environment.items():
            section, _, field = name.removeprefix(prefix).lower().partition("__")
            sections.setdefault(section, {})[field] = json.loads(value) if value.startswith("{") else value
        self.settings = Settings(providers=ProviderSettings.model_validate(sections), email=EmailSettings()).model_copy(
            update={"catalogue": Settings().catalogue.model_copy(update={"templates": TEMPLATES})}
        )
        self.metrics = Metrics()
        self.redis = redis
        self.pool = pool

    async def open(self, channel: Channel) -> ChannelSender:
        async def nobody_caches(_users: object) -> None: ...

        return await open_sender(
            channel,
            self.settings,
            redis=self.redis,
            inbox=Inbox(self.pool),
            devices=DeviceRegistry(self.pool, nobody_caches),
            suppressions=Suppressions(self.pool, nobody_caches),
            metrics=self.metrics,
        )


@pytest.fixture
async def simulated() -> AsyncIterator[Providers]:
    async with Providers() as providers:
        yield providers


@pytest.fixture
async def worker(simulated: Providers, redis_url: str, pool: Pool) -> AsyncIterator[Worker]:
    redis = Redis.from_url(redis_url)
    yield Worker(simulated, redis, pool)
    await redis.aclose()


@pytest.mark.parametrize("channel", [Channel.PUSH, Channel.EMAIL, Channel.SMS])
async def test_a_dispatch_reaches_its_provider_and_is_measured(
    worker: Worker, simulated: Providers, channel: Channel
) -> None:
    sender = await worker.open(channel)
    (part,) = sender.prepare(dispatch(channel), USER)
    result = await sender.send(dispatch(channel), part)
    await sender.close()
    assert result.outcome is Outcome.ACCEPTED
    assert simulated.received()[channel] == {ID: 1}
    labels = {"provider": result.provider, "outcome": "accepted"}
    assert worker.metrics.registry.get_sample_value("notifications_provider_seconds_count", labels) == 1


@pytest.mark.parametrize(
    "entry",
    [
        AccountSettings(name="vonage"),
        AccountSettings(name="again", provider="vonage", settings={"api": "messages"}),
        AccountSettings(name="sns"),
    ],
)
async def test_each_sms_provider_serves_the_channel(
    worker: Worker, simulated: Providers, entry: AccountSettings
) -> None:
    worker.settings = worker.settings.model_copy(update={"sms": SmsSettings(providers=(entry,))})
    sender = await worker.open(Channel.SMS)
    (part,) = sender.prepare(dispatch(Channel.SMS), USER)
    result = await sender.send(dispatch(Channel.SMS), part)
    await sender.close()
    assert (result.outcome, result.provider) == (Outcome.ACCEPTED, entry.name)
    assert simulated.received()["sms"] == {ID: 1}


async def test_a_country_goes_through_the_account_that_has_a_sender_for_it(
    worker: Worker, simulated: Providers
) -> None:
    german = AccountSettings(name="twilio", settings={"from_number": "", "senders": {"DE": "Shop"}})
    sms = SmsSettings(providers=(german, AccountSettings(name="vonage")))
    worker.settings = worker.settings.model_copy(update={"sms": sms})
    sender = await worker.open(Channel.SMS)
    for phone, provider in (("+49 30 901820", "twilio"), ("+1 500 555 0006", "vonage")):
        user = msgspec.structs.replace(USER, phone=phone)
        (part,) = sender.prepare(dispatch(Channel.SMS), user)
        assert (await sender.send(dispatch(Channel.SMS), part)).provider == provider
    await sender.close()
    assert (simulated.twilio.received.accepted, simulated.vonage.received.accepted) == (1, 1)


async def test_a_number_that_has_opted_out_is_suppressed_as_a_stop(worker: Worker, simulated: Providers) -> None:
    await worker.pool.execute("INSERT INTO users (user_id, phone) VALUES ('user_1', '+15005550006')")
    for account, reply in (
        (AccountSettings(name="twilio"), twilio_error(400, 21610)),
        (AccountSettings(name="sns"), sns_error(400, "OptedOut")),
    ):
        await worker.pool.execute("DELETE FROM suppressions")
        getattr(simulated, account.name).answer_next(reply)
        worker.settings = worker.settings.model_copy(update={"sms": SmsSettings(providers=(account,))})
        sender = await worker.open(Channel.SMS)
        (part,) = sender.prepare(dispatch(Channel.SMS), USER)
        result = await sender.send(dispatch(Channel.SMS), part)
        assert result.outcome is Outcome.INVALID_RECIPIENT
        await sender.prune(dispatch(Channel.SMS), part, result)
        await sender.close()
        assert await worker.pool.fetchval("SELECT reason FROM suppressions WHERE channel = 'sms'") == "stop"


async def test_an_in_app_notification_is_in_the_inbox_once_and_with_the_clients_at_once(worker: Worker) -> None:
    sender = await worker.open(Channel.IN_APP)
    subscriber = worker.redis.pubsub(ignore_subscribe_messages=True)
    await subscriber.subscribe(IN_APP_CHANNEL)
    await subscriber.get_message(timeout=1)
    (part,) = sender.prepare(dispatch(Channel.IN_APP), USER)
    first, again = await asyncio.gather(*(sender.send(dispatch(Channel.IN_APP), part) for _ in range(2)))
    assert (first.outcome, again.outcome) == (Outcome.ACCEPTED, Outcome.ACCEPTED)
    message = await subscriber.get_message(timeout=2)
    assert message is not None
    published = json.loads(message["data"])
    assert published["recipient_id"] == "user_1"
    assert published["data"]["title"] == "Bestellung ORD-1 versandt"
    assert await worker.pool.fetchval("SELECT count(*) FROM inbox WHERE user_id = 'user_1'") == 1
    await subscriber.unsubscribe(IN_APP_CHANNEL)
    await sender.close()


async def test_a_refused_device_and_a_dead_mailbox_are_taken_out_of_use(worker: Worker) -> None:
    await worker.pool.execute("INSERT INTO users (user_id, email) VALUES ('user_1', 'ada@example.com')")
    await worker.pool.execute(
        "INSERT INTO devices (user_id, device_id, platform, token) VALUES ('user_1', 'phone', 'android', 'token-1')"
    )
    for channel in (Channel.PUSH, Channel.EMAIL):
        sender = await worker.open(channel)
        (part,) = sender.prepare(dispatch(channel), USER)
        result = await sender.send(dispatch(channel), part)
        await sender.prune(dispatch(channel), part, result)
        await sender.close()
    assert await worker.pool.fetchval("SELECT count(*) FROM devices") == 0
    assert await worker.pool.fetchval("SELECT count(*) FROM suppressions WHERE channel = 'email'") == 1


@pytest.mark.parametrize("channel", [Channel.PUSH, Channel.SMS])
async def test_an_account_that_is_not_set_stops_the_start(worker: Worker, channel: Channel) -> None:
    worker.settings = worker.settings.model_copy(update={"providers": ProviderSettings()})
    with pytest.raises(ConfigurationError, match=r"providers\."):
        await worker.open(channel)


async def test_a_broken_template_stops_the_start(worker: Worker, tmp_path: Path) -> None:
    (tmp_path / "t" / "en").mkdir(parents=True)
    (tmp_path / "t" / "en" / "sms.txt").write_text("{{ broken")
    catalogue = worker.settings.catalogue.model_copy(update={"templates": tmp_path})
    worker.settings = worker.settings.model_copy(update={"catalogue": catalogue})
    with pytest.raises(CatalogueError, match=r"sms\.txt:1: "):
        await worker.open(Channel.SMS)


@pytest.mark.parametrize("provider", ["smtp", "ses", "sendgrid", "mailgun"])
async def test_the_same_mail_goes_through_whichever_provider_is_named(
    worker: Worker, simulated: Providers, provider: str
) -> None:
    accounts = (AccountSettings(name="first", provider=provider),)
    email = worker.settings.email.model_copy(update={"providers": accounts})
    worker.settings = worker.settings.model_copy(update={"email": email})
    sender = await worker.open(Channel.EMAIL)
    (part,) = sender.prepare(dispatch(Channel.EMAIL), USER)
    result = await sender.send(dispatch(Channel.EMAIL), part)
    await sender.close()
    assert (result.outcome, result.provider) == (Outcome.ACCEPTED, "first")
    assert simulated.received()[Channel.EMAIL] == {ID: 1}


async def test_a_pool_that_warms_up_holds_back_its_own_mail_and_neither_asks_nor_pauses_an_account(
    worker: Worker, simulated: Providers
) -> None:
    update = {
        "warm_up": {"marketing": WarmUpSettings(since=datetime.now(UTC).date(), daily=(1, 1))},
        "providers": (AccountSettings(name="smtp", rate=1000.0, burst=100), AccountSettings(name="sendgrid")),
        "unsubscribe_secret": SecretStr("secret"),
    }
    worker.settings = worker.settings.model_copy(update={"email": worker.settings.email.model_copy(update=update)})
    sender = await worker.open(Channel.EMAIL)
    news = msgspec.structs.replace(dispatch(Channel.EMAIL), stream="marketing", notification_id="news")

    async def send(one: Dispatch) -> SendResult:
        (part,) = sender.prepare(one, USER)
        return await sender.send(one, part)

    first, second, other = [await send(one) for one in (news, news, dispatch(Channel.EMAIL))]
    await sender.close()
    assert [result.outcome for result in (first, second, other)] == [
        Outcome.ACCEPTED,
        Outcome.THROTTLED,
        Outcome.ACCEPTED,
    ]
    assert (second.waits_for, second.tried) == (Reason.WARM_UP, ())
    assert other.provider == "smtp"
    assert simulated.smtp.received.accepted == 2
    assert simulated.sendgrid.received.accepted == 0
