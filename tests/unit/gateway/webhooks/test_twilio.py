import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest

from pipeline.events.vocabulary import Reason, Status
from pipeline.gateway.webhooks.base import Ignored, InboundSms, Receipt, Untrusted
from pipeline.gateway.webhooks.twilio import TwilioWebhook, spellings
from pipeline.suppression.keywords import Keyword
from pipeline.testing.webhooks import Signed, TwilioSigner
from tests.unit.gateway.webhooks.conftest import URL, changed, posted, with_headers

SIGNER = TwilioSigner(auth_token="token")
WEBHOOK = TwilioWebhook(["another", "token"])
CALLBACK = f"{URL}?notification_id=n1"


async def refused(signed: Signed, webhook: TwilioWebhook = WEBHOOK) -> bool:
    try:
        await webhook.verify(posted(signed), 0)
    except Untrusted:
        return True
    return False


@pytest.fixture
def genuine(contracts: Path) -> tuple[TwilioWebhook, Signed]:
    found = json.loads((contracts / "twilio_signature_fixture.json").read_text())
    headers = {"X-Twilio-Signature": found["signature"], "Content-Type": "application/x-www-form-urlencoded"}
    return TwilioWebhook([found["token"]]), Signed(found["uri"], headers, urlencode(found["params"]).encode())


async def test_a_request_that_twilio_has_signed_is_taken_and_no_changed_byte_of_it(
    genuine: tuple[TwilioWebhook, Signed],
) -> None:
    webhook, signed = genuine
    assert not await refused(signed, webhook)
    for body in changed(signed.body):
        assert await refused(signed._replace(body=body), webhook), body
    for url in changed(signed.url.encode()):
        assert await refused(signed._replace(url=url.decode()), webhook), url
    for signature in changed(signed.headers["X-Twilio-Signature"].encode()):
        assert await refused(with_headers(signed, X_Twilio_Signature=signature.decode()), webhook), signature


async def test_the_hash_of_a_json_body_is_in_the_signed_url() -> None:
    signed = SIGNER.json(CALLBACK, b'{"MessageStatus": "delivered"}')
    assert not await refused(signed)
    for body in changed(signed.body):
        assert await refused(signed._replace(body=body)), body
    assert await refused(SIGNER.form(CALLBACK, {})._replace(headers={**signed.headers}, body=b"{}"))


@pytest.mark.parametrize(
    "change",
    [
        lambda signed: signed._replace(headers={"Content-Type": "application/x-www-form-urlencoded"}),
        lambda signed: signed._replace(url=signed.url.replace("n1", "n2")),
        lambda signed: signed._replace(body=signed.body + b"&ErrorCode=30005"),
        lambda signed: signed._replace(body=b"\xff"),
        lambda signed: signed._replace(body=b"&".join(b"a=%d" % n for n in range(1_000))),
        lambda signed: with_headers(signed, X_Twilio_Signature="\udcff"),
        lambda _: TwilioSigner(auth_token="somebody else's").status(CALLBACK, MessageStatus="delivered"),
    ],
)
async def test_what_is_not_signed_as_it_is_is_refused(change: Callable[[Signed], Signed]) -> None:
    assert await refused(change(SIGNER.status(CALLBACK, MessageStatus="delivered")))


def test_twilio_may_write_the_usual_port_or_leave_it_out() -> None:
    assert set(spellings("https://a.example/x?y=1")) == {"https://a.example/x?y=1", "https://a.example:443/x?y=1"}
    assert set(spellings("http://a.example:8080/x")) == {"http://a.example:8080/x", "http://a.example/x"}


@pytest.mark.parametrize(
    ("fields", "status", "reason", "suppress"),
    [
        ({"MessageStatus": "delivered"}, Status.DELIVERED, Reason.REPORTED, ""),
        ({"MessageStatus": "read"}, Status.READ, Reason.REPORTED, ""),
        (
            {"MessageStatus": "undelivered", "ErrorCode": "30005"},
            Status.BOUNCED,
            Reason.INVALID_RECIPIENT,
            "invalid_number",
        ),
        ({"MessageStatus": "failed", "ErrorCode": "21610"}, Status.BOUNCED, Reason.INVALID_RECIPIENT, "stop"),
        ({"MessageStatus": "undelivered", "ErrorCode": "30003"}, Status.BOUNCED, Reason.UNDELIVERABLE, ""),
        ({"MessageStatus": "undelivered", "ErrorCode": "30007"}, Status.BOUNCED, Reason.REJECTED_BY_PROVIDER, ""),
        ({"MessageStatus": "failed", "ErrorCode": "30034"}, Status.BOUNCED, Reason.PROVIDER_CONFIGURATION, ""),
        ({"MessageStatus": "failed", "ErrorCode": "99999"}, Status.BOUNCED, Reason.UNDELIVERABLE, ""),
        ({"MessageStatus": "failed", "ErrorCode": "none"}, Status.BOUNCED, Reason.UNDELIVERABLE, ""),
    ],
)
async def test_what_a_status_callback_says(
    fields: dict[str, str], status: Status, reason: Reason, suppress: str
) -> None:
    signed = SIGNER.status(CALLBACK, **{"To": "+15005550009", "MessageSid": "SM1", **fields})
    (told,) = await WEBHOOK.read(posted(signed))
    assert isinstance(told, Receipt)
    assert (told.notification_id, told.message_id, told.occurred_at) == ("n1", "SM1", None)
    assert (told.status, told.reason) == (status, reason)
    assert [(s.address, s.reason) for s in told.suppress] == ([("+15005550009", suppress)] if suppress else [])


@pytest.mark.parametrize("status", ["queued", "sending", "sent", "accepted", "canceled", "news"])
async def test_a_step_on_the_way_is_no_news(status: str) -> None:
    assert await WEBHOOK.read(posted(SIGNER.status(CALLBACK, MessageStatus=status))) == [Ignored(status)]


@pytest.mark.parametrize(
    ("text", "fields", "keyword"),
    [
        ("Stop", {}, Keyword.STOP),
        ("START", {}, Keyword.START),
        ("help", {}, Keyword.HELP),
        ("genug", {"OptOutType": "STOP"}, Keyword.STOP),
        ("see you at noon", {}, None),
        ("stop by at noon", {}, None),
    ],
)
async def test_what_people_write_is_heeded_where_it_is_a_keyword(
    text: str, fields: dict[str, str], keyword: Keyword | None
) -> None:
    told = await WEBHOOK.read(posted(SIGNER.inbound(URL, "+15005550009", text, **fields)))
    assert told == [InboundSms("+15005550009", keyword) if keyword else Ignored("inbound")]
