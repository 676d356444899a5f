import json
import time
from collections.abc import Callable

import pytest

from pipeline.events.vocabulary import Reason, Status
from pipeline.gateway.webhooks.base import Ignored, Receipt, Unreadable, Untrusted
from pipeline.gateway.webhooks.mailgun import MailgunWebhook
from pipeline.testing.webhooks import MailgunSigner, Signed
from tests.unit.gateway.webhooks.conftest import URL, changed, posted, receipt

NOW = time.time()
SIGNER = MailgunSigner(lambda: NOW)
WEBHOOK = MailgunWebhook(["another", SIGNER.signing_key], 300)


async def refused(signed: Signed, now: float = NOW) -> bool:
    try:
        await WEBHOOK.verify(posted(signed), now)
    except Untrusted:
        return True
    return False


async def test_no_changed_byte_of_the_signature_passes() -> None:
    signed = SIGNER.receipt(receipt(), URL)
    assert not await refused(signed)
    end = signed.body.index(b'"event-data"')
    for body in changed(signed.body[:end]):
        assert await refused(signed._replace(body=body + signed.body[end:])) or json.loads(
            body + signed.body[end:]
        ) == json.loads(signed.body), body  # white space between two values may change


@pytest.mark.parametrize("away", [-301, 301, 86_400])
async def test_a_stale_webhook_is_refused(away: float) -> None:
    assert await refused(SIGNER.receipt(receipt(), URL), NOW + away)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"signature": {}}', b'{"signature": 1, "event-data": {}}', b"\xff"]
)
async def test_what_has_no_signature_is_refused_before_anything_else_is_read(body: bytes) -> None:
    assert await refused(Signed(URL, {"Content-Type": "application/json"}, body))


async def test_another_token_is_another_request() -> None:
    tokens = {await WEBHOOK.verify(posted(SIGNER.receipt(receipt(), URL)), NOW) for _ in range(3)}
    assert len(tokens) == 3


@pytest.mark.parametrize(
    ("fields", "status", "reason", "suppress"),
    [
        ({"event": "delivered"}, Status.DELIVERED, Reason.REPORTED, ""),
        ({"event": "opened"}, Status.OPENED, Reason.REPORTED, ""),
        ({"event": "clicked", "url": "https://x"}, Status.CLICKED, Reason.REPORTED, ""),
        ({"event": "failed", "severity": "permanent", "reason": "bounce"}, Status.BOUNCED, Reason.INVALID_RECIPIENT, "bounce"),
        ({"event": "failed", "severity": "permanent", "reason": "suppress-complaint"}, Status.BOUNCED, Reason.ADDRESS_SUPPRESSED, "complaint"),
        ({"event": "failed", "severity": "permanent", "reason": "generic"}, Status.BOUNCED, Reason.UNDELIVERABLE, ""),
        ({"event": "rejected"}, Status.BOUNCED, Reason.REJECTED_BY_PROVIDER, ""),
        ({"event": "complained"}, Status.COMPLAINED, Reason.REPORTED, "complaint"),
        ({"event": "unsubscribed"}, Status.UNSUBSCRIBED, Reason.REPORTED, "unsubscribe"),
    ],
)  # fmt: skip
async def test_what_an_event_says(fields: dict[str, object], status: Status, reason: Reason, suppress: str) -> None:
    (told,) = await WEBHOOK.read(posted(SIGNER.event(URL, SIGNER.event_data(receipt(), **fields))))
    assert isinstance(told, Receipt)
    assert (told.notification_id, told.reference, told.message_id) == (receipt().notification_id, "sealed", "message-1")
    assert (told.status, told.reason, told.occurred_at) == (status, reason, int(NOW * 1000))
    assert [s.reason for s in told.suppress] == ([suppress] if suppress else [])


@pytest.mark.parametrize("fields", [{"event": "failed", "severity": "temporary"}, {"event": "accepted"}])
async def test_a_step_on_the_way_is_no_news(fields: dict[str, object]) -> None:
    (told,) = await WEBHOOK.read(posted(SIGNER.event(URL, SIGNER.event_data(receipt(), **fields))))
    assert told == Ignored(str(fields["event"]))


@pytest.mark.parametrize("make", [lambda: None, lambda: {"event": 1}, list])
async def test_what_is_signed_and_no_event_is_told_of(make: Callable[[], object]) -> None:
    with pytest.raises(Unreadable):
        await WEBHOOK.read(posted(SIGNER.event(URL, make())))
