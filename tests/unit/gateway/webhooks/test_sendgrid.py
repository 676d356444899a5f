import json
import time
from pathlib import Path

import pytest

from pipeline.errors import ConfigurationError
from pipeline.events.vocabulary import Reason, Status
from pipeline.gateway.webhooks.base import Ignored, Receipt, Suppress, Unreadable, Untrusted
from pipeline.gateway.webhooks.sendgrid import SendGridWebhook
from pipeline.testing.receipts import ReceiptKind
from pipeline.testing.webhooks import SendGridSigner, Signed
from tests.unit.gateway.webhooks.conftest import URL, changed, posted, receipt, with_headers

NOW = time.time()
SIGNER = SendGridSigner(lambda: NOW)
WEBHOOK = SendGridWebhook([SendGridSigner().public_key, SIGNER.public_key], 300)


async def refused(signed: Signed, webhook: SendGridWebhook = WEBHOOK, now: float = NOW) -> bool:
    try:
        await webhook.verify(posted(signed), now)
    except Untrusted:
        return True
    return False


async def test_a_batch_that_sendgrid_has_signed_is_taken_and_no_changed_byte_of_it(contracts: Path) -> None:
    found = json.loads((contracts / "sendgrid_eventwebhook_fixture.json").read_text())
    headers = {
        "X-Twilio-Email-Event-Webhook-Signature": found["signature"],
        "X-Twilio-Email-Event-Webhook-Timestamp": found["timestamp"],
        "Content-Type": "application/json",
    }
    signed, webhook = Signed(URL, headers, found["payload"].encode()), SendGridWebhook([found["public_key"]], 300)
    then = float(found["timestamp"])
    assert not await refused(signed, webhook, then + 60)
    assert await refused(signed, webhook, then + 301)
    assert await refused(signed, webhook)
    for body in changed(signed.body):
        assert await refused(signed._replace(body=body), webhook, then), body
    for stamp in changed(found["timestamp"].encode()):
        other = with_headers(signed, X_Twilio_Email_Event_Webhook_Timestamp=stamp.decode())
        assert await refused(other, webhook, then), stamp
    for signature in changed(found["signature"].encode()):
        other = with_headers(signed, X_Twilio_Email_Event_Webhook_Signature=signature.decode())
        assert await refused(other, webhook, then), signature
    (told,) = await webhook.read(posted(signed))
    assert isinstance(told, Receipt)
    assert (told.status, told.reason) == (Status.BOUNCED, Reason.INVALID_RECIPIENT)
    assert told.suppress == [Suppress("hello@world.com", "bounce")]
    assert (told.message_id, told.occurred_at) == ("LRzXl_NHStOGhQ4kofSm_A", 1_600_112_492_000)


@pytest.mark.parametrize("away", [-301, 301, 86_400])
async def test_a_stale_batch_is_refused(away: float) -> None:
    assert await refused(SIGNER.events(URL, []), now=NOW + away)


@pytest.mark.parametrize(
    "key", ["", "AAAA", "not base64", "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="]
)
def test_a_key_that_is_none_is_told_of_when_the_gateway_starts(key: str) -> None:
    with pytest.raises(ConfigurationError, match="webhook_public_key"):
        SendGridWebhook([key], 300)


@pytest.mark.parametrize(
    ("fields", "status", "reason", "suppress"),
    [
        ({"event": "delivered"}, Status.DELIVERED, Reason.REPORTED, ""),
        ({"event": "open"}, Status.OPENED, Reason.REPORTED, ""),
        ({"event": "click"}, Status.CLICKED, Reason.REPORTED, ""),
        ({"event": "bounce", "type": "bounce"}, Status.BOUNCED, Reason.INVALID_RECIPIENT, "bounce"),
        ({"event": "bounce", "type": "blocked"}, Status.BOUNCED, Reason.UNDELIVERABLE, ""),
        ({"event": "dropped", "reason": "Bounced Address"}, Status.BOUNCED, Reason.INVALID_RECIPIENT, "bounce"),
        (
            {"event": "dropped", "reason": "Unsubscribed Address"},
            Status.BOUNCED,
            Reason.ADDRESS_SUPPRESSED,
            "unsubscribe",
        ),
        (
            {"event": "dropped", "reason": "Spam Reporting Address"},
            Status.BOUNCED,
            Reason.ADDRESS_SUPPRESSED,
            "complaint",
        ),
        ({"event": "dropped", "reason": "Spam Content"}, Status.BOUNCED, Reason.REJECTED_BY_PROVIDER, ""),
        ({"event": "spamreport"}, Status.COMPLAINED, Reason.REPORTED, "complaint"),
        ({"event": "unsubscribe"}, Status.UNSUBSCRIBED, Reason.REPORTED, "unsubscribe"),
        ({"event": "group_unsubscribe"}, Status.UNSUBSCRIBED, Reason.REPORTED, "unsubscribe"),
    ],
)
async def test_what_an_event_says(fields: dict[str, object], status: Status, reason: Reason, suppress: str) -> None:
    event = {**SIGNER.event(receipt()), "type": "", "reason": "", **fields}
    (told,) = await WEBHOOK.read(posted(SIGNER.events(URL, [event])))
    assert isinstance(told, Receipt)
    assert (told.notification_id, told.reference, told.message_id) == (receipt().notification_id, "sealed", "message-1")
    assert (told.status, told.reason, told.occurred_at) == (status, reason, int(NOW) * 1000)
    assert [s.reason for s in told.suppress] == ([suppress] if suppress else [])


async def test_one_event_that_cannot_be_read_does_not_hold_up_the_others() -> None:
    events = [
        {"event": 1},
        SIGNER.event(receipt()),
        {},
        SIGNER.event(receipt(ReceiptKind.OPENED), sg_machine_open=True),
    ]
    told = await WEBHOOK.read(posted(SIGNER.events(URL, [*events, {"event": "deferred"}])))
    assert [isinstance(one, Receipt) for one in told] == [False, True, False, False, False]
    assert told[4] == Ignored("deferred")
    with pytest.raises(Unreadable):
        await WEBHOOK.read(posted(SIGNER.sign(URL, b"{}")))
