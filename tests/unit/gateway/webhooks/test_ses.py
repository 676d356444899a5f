import json
import time
from collections.abc import AsyncIterator
from typing import Literal

import aiohttp
import pytest

from pipeline.errors import Unavailable
from pipeline.events.vocabulary import Reason, Status
from pipeline.gateway.webhooks.base import Ignored, Receipt, Suppress, Unreadable, Untrusted
from pipeline.gateway.webhooks.ses import SesWebhook
from pipeline.gateway.webhooks.sns import SnsEndpoint, endpoint_of
from pipeline.testing.receipts import ReceiptKind
from pipeline.testing.ses import SesSimulator
from pipeline.testing.webhooks import Signed, SnsSigner
from pipeline.testing.webhooks.sns import CERTIFICATE_PATH, TOPIC
from tests.unit.gateway.webhooks.conftest import URL, changed, posted, receipt

NOW = time.time()
SIGNER = SnsSigner(clock=lambda: NOW)


@pytest.fixture
async def simulator() -> AsyncIterator[SesSimulator]:
    async with SesSimulator() as simulator:
        SIGNER.base_url, SIGNER.version = simulator.base_url, "2"
        simulator.sns_certificate = SIGNER.certificate
        yield simulator


@pytest.fixture
async def webhook(simulator: SesSimulator) -> AsyncIterator[SesWebhook]:
    async with aiohttp.ClientSession() as session:
        yield SesWebhook(frozenset({TOPIC}), SnsEndpoint(session, simulator.base_url), 300)


async def refused(webhook: SesWebhook, signed: Signed, now: float = NOW) -> bool:
    try:
        await webhook.verify(posted(signed), now)
    except Untrusted:
        return True
    return False


@pytest.mark.parametrize("version", ["1", "2"])
async def test_no_changed_byte_of_what_is_signed_passes(webhook: SesWebhook, version: Literal["1", "2"]) -> None:
    SIGNER.version = version
    for signed in (SIGNER.notification(URL, '{"eventType": "Send"}', subject="Amazon SES"), SIGNER.confirmation(URL)):
        assert not await refused(webhook, signed)
        for name, value in json.loads(signed.body).items():
            if name in ("SigningCertURL", "SignatureVersion"):
                continue  # below
            for other in changed(value.encode(), step=7):
                body = json.dumps({**json.loads(signed.body), name: other.decode()}).encode()
                assert await refused(webhook, signed._replace(body=body)), (name, other)


@pytest.mark.parametrize(
    "change",
    [
        {"SignatureVersion": "1"},
        {"SignatureVersion": "3"},
        {"SigningCertURL": "https://attacker.example/SimpleNotificationService-0123456789abcdef.pem"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com.attacker.example" + CERTIFICATE_PATH},
        {"SigningCertURL": "{base}@attacker.example" + CERTIFICATE_PATH},
        {"SigningCertURL": "{base}/elsewhere.pem"},
        {"SigningCertURL": "file:///etc/passwd"},
        {"SigningCertURL": "https://[broken"},
        {"TopicArn": TOPIC + "-of-somebody-else"},
        {"Timestamp": "yesterday"},
        {"Signature": "no base64"},
        {"Subject": "added"},
    ],
)
async def test_a_message_with_another_proof_is_refused(
    webhook: SesWebhook, simulator: SesSimulator, change: dict[str, str]
) -> None:
    signed = SIGNER.notification(URL, "{}")
    given = {name: value.replace("{base}", simulator.base_url) for name, value in change.items()}
    assert await refused(webhook, signed._replace(body=json.dumps({**json.loads(signed.body), **given}).encode()))


async def test_a_topic_of_another_region_is_not_vouched_for_by_this_one() -> None:
    assert endpoint_of("arn:aws:sns:us-east-1:123456789012:t") == "https://sns.us-east-1.amazonaws.com"
    assert endpoint_of("arn:aws-cn:sns:cn-north-1:123456789012:t") == "https://sns.cn-north-1.amazonaws.com.cn"
    with pytest.raises(Untrusted):
        endpoint_of("arn:aws:sns:evil.example/#:123456789012:t")


@pytest.mark.parametrize("away", [-3_700, 3_700, 86_400])
async def test_a_stale_message_is_refused(webhook: SesWebhook, away: float) -> None:
    assert await refused(webhook, SIGNER.notification(URL, "{}"), NOW + away)
    assert not await refused(webhook, SIGNER.notification(URL, "{}"), NOW + 3_000)  # SNS repeats it for an hour


async def test_a_certificate_that_has_run_out_or_cannot_be_fetched_vouches_for_nothing(
    webhook: SesWebhook, simulator: SesSimulator
) -> None:
    later = NOW + 40 * 86_400
    old = SnsSigner(simulator.base_url, lambda: later)
    simulator.sns_certificate = old.certificate
    assert await refused(webhook, old.notification(URL, "{}"), later)
    simulator.sns_certificate = b"none"
    assert await refused(webhook, SIGNER.notification(URL, "{}"))
    simulator.sns_certificate = b""
    with pytest.raises(Unavailable):
        await webhook.verify(posted(SIGNER.notification(URL, "{}")), NOW)


async def test_a_subscription_is_confirmed_at_sns_alone(webhook: SesWebhook, simulator: SesSimulator) -> None:
    assert await webhook.read(posted(SIGNER.confirmation(URL))) == [Ignored("SubscriptionConfirmation")]
    assert simulator.confirmed == [TOPIC]
    for url in (
        "https://attacker.example/?Action=ConfirmSubscription",
        f"{simulator.base_url}/?Action=Unsubscribe",
        f"{simulator.base_url}/?Action=ConfirmSubscription&TopicArn=another",
    ):
        signed = SIGNER.confirmation(URL)
        body = json.dumps({**json.loads(signed.body), "SubscribeURL": url}).encode()
        with pytest.raises(Untrusted):
            await webhook.read(posted(signed._replace(body=body)))
    assert simulator.confirmed == [TOPIC]


@pytest.mark.parametrize(
    ("kind", "status", "reason", "suppress"),
    [
        (ReceiptKind.DELIVERED, Status.DELIVERED, Reason.REPORTED, None),
        (ReceiptKind.BOUNCED, Status.BOUNCED, Reason.INVALID_RECIPIENT, Suppress("ada@example.com", "bounce")),
        (ReceiptKind.COMPLAINED, Status.COMPLAINED, Reason.REPORTED, Suppress("ada@example.com", "complaint", whole=False)),
        (ReceiptKind.OPENED, Status.OPENED, Reason.REPORTED, None),
        (ReceiptKind.CLICKED, Status.CLICKED, Reason.REPORTED, None),
        (ReceiptKind.UNSUBSCRIBED, Status.UNSUBSCRIBED, Reason.REPORTED, None),
    ],
)  # fmt: skip
async def test_what_an_event_says(
    webhook: SesWebhook, kind: ReceiptKind, status: Status, reason: Reason, suppress: Suppress | None
) -> None:
    (told,) = await webhook.read(posted(SIGNER.receipt(receipt(kind)._replace(reference="r" * 600), URL)))
    assert isinstance(told, Receipt)
    assert (told.notification_id, told.reference) == (receipt().notification_id, "r" * 600)
    assert (told.status, told.reason, told.message_id) == (status, reason, "message-1")
    assert told.occurred_at == int(NOW * 1000)
    assert list(told.suppress) == ([suppress] if suppress else [])


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ({"eventType": "DeliveryDelay"}, Ignored("DeliveryDelay")),
        ({"notificationType": "Complaint", "complaint": {"complaintFeedbackType": "not-spam"}}, Ignored("not-spam")),
    ],
)
async def test_what_is_no_news_is_passed_over(webhook: SesWebhook, event: dict[str, object], told: Ignored) -> None:
    assert await webhook.read(posted(SIGNER.notification(URL, json.dumps(event)))) == [told]


async def test_a_soft_bounce_leaves_the_address_usable(webhook: SesWebhook) -> None:
    people = [{"emailAddress": "ada@example.com"}]
    event = {"notificationType": "Bounce", "bounce": {"bounceType": "Transient", "bouncedRecipients": people}}
    (told,) = await webhook.read(posted(SIGNER.notification(URL, json.dumps(event))))
    assert isinstance(told, Receipt)
    assert (told.reason, list(told.suppress)) == (Reason.UNDELIVERABLE, [])


async def test_what_is_signed_and_no_event_is_told_of(webhook: SesWebhook) -> None:
    with pytest.raises(Unreadable):
        await webhook.read(posted(SIGNER.notification(URL, "Hello")))
