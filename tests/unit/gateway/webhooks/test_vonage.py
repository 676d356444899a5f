import json
import time
from urllib.parse import parse_qsl

import jwt
import pytest

from pipeline.events.vocabulary import Reason, Status
from pipeline.gateway.webhooks.base import Ignored, InboundSms, Receipt, Suppress, Untrusted
from pipeline.gateway.webhooks.vonage import Method, Secret, VonageWebhook
from pipeline.suppression.keywords import Keyword
from pipeline.testing.receipts import ReceiptKind
from pipeline.testing.webhooks import Signed, VonageSigner
from tests.unit.gateway.webhooks.conftest import URL, changed, posted, receipt, with_headers

NOW = time.time()
SIGNER = VonageSigner(clock=lambda: NOW)
WEBHOOK = VonageWebhook([Secret("another" * 6, "sha256"), Secret(SIGNER.secret, "sha256")], 300)
DLR = {"msisdn": "447700900001", "messageId": "m1", "client-ref": "n1", "err-code": "0"}


async def refused(signed: Signed, now: float = NOW, webhook: VonageWebhook = WEBHOOK) -> bool:
    try:
        await webhook.verify(posted(signed), now)
    except Untrusted:
        return True
    return False


@pytest.mark.parametrize("as_form", [True, False])
async def test_no_changed_byte_of_an_sms_receipt_passes(as_form: bool) -> None:
    signed = SIGNER.sms(URL, {**DLR, "status": "delivered", "text": "a=b&c"}, as_form=as_form)
    assert not await refused(signed)
    for body in changed(signed.body):
        same = said(body, as_form) == said(signed.body, as_form)  # white space in JSON, the signature's case
        assert await refused(signed._replace(body=body)) != same, body


def said(body: bytes, as_form: bool) -> dict[str, str] | None:
    """What the parameters say, whose signature may be written in any case; None: there are none."""
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True)) if as_form else json.loads(body)
        return {**fields, "sig": fields["sig"].lower()}
    except (ValueError, KeyError):
        return None


@pytest.mark.parametrize("method", ["md5hash", "md5", "sha1", "sha256", "sha512"])
async def test_every_signature_method_of_vonage_is_known_and_no_other_one_taken_for_it(method: Method) -> None:
    signer = VonageSigner(method, lambda: NOW)
    signed = signer.sms(URL, {**DLR, "status": "delivered"})
    assert not await refused(signed, webhook=VonageWebhook([Secret(signer.secret, method)], 300))
    other: Method = "sha1" if method != "sha1" else "sha256"
    assert await refused(signed, webhook=VonageWebhook([Secret(signer.secret, other)], 300))


async def test_no_changed_byte_of_a_message_passes() -> None:
    signed = SIGNER.message(URL, {"status": "delivered", "client_ref": "n1", "message_uuid": "m1"})
    assert not await refused(signed)
    for body in changed(signed.body):
        assert await refused(signed._replace(body=body)), body
    token = signed.headers["Authorization"]
    for other in changed(token.encode()[:-1]):  # of the last character some bits are padding
        assert await refused(with_headers(signed, Authorization=other.decode() + token[-1])), other


@pytest.mark.parametrize("away", [-301, 301, 86_400])
async def test_what_is_stale_is_refused(away: float) -> None:
    assert await refused(SIGNER.sms(URL, DLR), NOW + away)
    assert await refused(SIGNER.message(URL, {"status": "delivered"}), NOW + away)


@pytest.mark.parametrize(
    "token",
    [
        jwt.encode({"iat": int(NOW)}, "somebody else" * 3, "HS256"),
        jwt.encode({"iat": int(NOW)}, SIGNER.secret, "HS256"),
        jwt.encode({"payload_hash": "x"}, SIGNER.secret, "HS256"),
        jwt.encode({"iat": int(NOW)}, SIGNER.secret, "HS384"),
        jwt.encode({"iat": int(NOW)}, "", "none"),
        "x",
        "\udcff",
    ],
    ids=["secret", "no hash", "no time", "HS384", "none", "no token", "no text"],
)
async def test_a_token_that_does_not_cover_the_body_is_refused(token: str) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    assert await refused(Signed(URL, headers, b"{}"))


@pytest.mark.parametrize(
    ("fields", "status", "reason", "suppress"),
    [
        ({"status": "delivered"}, Status.DELIVERED, Reason.REPORTED, False),
        ({"status": "failed", "err-code": "9"}, Status.BOUNCED, Reason.INVALID_RECIPIENT, True),
        ({"status": "rejected", "err-code": "7"}, Status.BOUNCED, Reason.REJECTED_BY_PROVIDER, False),
        ({"status": "expired", "err-code": "2"}, Status.BOUNCED, Reason.UNDELIVERABLE, False),
    ],
)
async def test_what_a_receipt_of_the_sms_api_says(
    fields: dict[str, str], status: Status, reason: Reason, suppress: bool
) -> None:
    (told,) = await WEBHOOK.read(posted(SIGNER.sms(URL, {**DLR, **fields})))
    assert isinstance(told, Receipt)
    assert (told.notification_id, told.message_id, told.occurred_at) == ("n1", "m1", int(NOW) * 1000)
    assert (told.status, told.reason) == (status, reason)
    assert list(told.suppress) == ([Suppress("+447700900001", "invalid_number")] if suppress else [])


@pytest.mark.parametrize(
    ("fields", "status", "reason", "suppress"),
    [
        ({"status": "delivered"}, Status.DELIVERED, Reason.REPORTED, False),
        ({"status": "read"}, Status.READ, Reason.REPORTED, False),
        ({"status": "rejected", "error": {"type": "https://x#1050"}}, Status.BOUNCED, Reason.INVALID_RECIPIENT, True),
        (
            {"status": "rejected", "error": {"type": "https://x#1070"}},
            Status.BOUNCED,
            Reason.REJECTED_BY_PROVIDER,
            False,
        ),
        ({"status": "undeliverable"}, Status.BOUNCED, Reason.UNDELIVERABLE, False),
    ],
)
async def test_what_a_status_of_the_messages_api_says(
    fields: dict[str, object], status: Status, reason: Reason, suppress: bool
) -> None:
    common = {"to": "447700900001", "message_uuid": "m1", "client_ref": "n1", "timestamp": "2025-02-03T12:14:25Z"}
    (told,) = await WEBHOOK.read(posted(SIGNER.message(URL, {**common, **fields})))
    assert isinstance(told, Receipt)
    assert (told.notification_id, told.message_id, told.occurred_at) == ("n1", "m1", 1_738_584_865_000)
    assert (told.status, told.reason, bool(told.suppress)) == (status, reason, suppress)


async def test_steps_on_the_way_are_no_news() -> None:
    assert await WEBHOOK.read(posted(SIGNER.sms(URL, {**DLR, "status": "buffered"}))) == [Ignored("buffered")]
    assert await WEBHOOK.read(posted(SIGNER.message(URL, {"status": "submitted"}))) == [Ignored("submitted")]


async def test_a_stop_is_heeded_whichever_api_brings_it() -> None:
    by_sms = await WEBHOOK.read(posted(SIGNER.inbound(URL, "+447700900001", "STOP", as_form=True)))
    message: dict[str, object] = {"channel": "sms", "from": "447700900001", "to": "447700900000", "text": "Stop!"}
    assert by_sms == await WEBHOOK.read(posted(SIGNER.message(URL, message)))
    assert by_sms == [InboundSms("+447700900001", Keyword.STOP)]
    assert await WEBHOOK.read(posted(SIGNER.inbound(URL, "+447700900001", "hello"))) == [Ignored("inbound")]


async def test_a_simulated_bounce_is_of_a_number_that_does_not_exist() -> None:
    (told,) = await WEBHOOK.read(posted(SIGNER.receipt(receipt(ReceiptKind.BOUNCED), URL)))
    assert isinstance(told, Receipt)
    assert told.reason is Reason.INVALID_RECIPIENT
