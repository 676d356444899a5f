import json
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.channels.base import Refused
from pipeline.channels.rendering import Renderer
from pipeline.channels.sms import SenderOf, SmsPart, SmsSender
from pipeline.config import SmsSettings
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel, Reason
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.sms import SmsMessage
from pipeline.users.snapshot import UserSnapshot


class Provider:
    name = "twilio"
    opted_out = frozenset({"21610"})

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> SendResult:
        raise NotImplementedError

    async def send(self, message: SmsMessage) -> SendResult:
        text = f"{message.sender} {message.to} {message.status_callback}"
        return SendResult(outcome=Outcome.ACCEPTED, provider="twilio", message_id=text)


class SuppressionList:
    def __init__(self) -> None:
        self.added: list[tuple[object, ...]] = []

    async def add(self, *arguments: object) -> None:
        self.added.append(arguments)


@pytest.fixture
def suppressions() -> SuppressionList:
    return SuppressionList()


NOW = 1_771_840_800.0

MakeSender = Callable[..., SmsSender]


@pytest.fixture
def make_sender(renderer: Callable[[Channel], Renderer], suppressions: SuppressionList) -> MakeSender:
    def make(sender_of: SenderOf = lambda _country: "+15005550000", **settings: Any) -> SmsSender:
        return SmsSender(
            renderer(Channel.SMS),
            Provider(),
            suppressions,
            SmsSettings(**settings),
            public_url="https://notify.example.com",
            sender_of=sender_of,
            clock=lambda: NOW,
        )

    return make


@pytest.fixture
def sender(make_sender: MakeSender) -> SmsSender:
    return make_sender()


async def test_the_number_travels_in_e164_and_the_callback_names_the_notification(
    sender: SmsSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    dispatch = make_dispatch(Channel.SMS)
    (part,) = sender.prepare(dispatch, user)
    result = await sender.send(dispatch, part)
    callback = f"https://notify.example.com/v1/webhooks/twilio?notification_id={dispatch.notification_id}"
    assert result.message_id == f"+15005550000 +15005550006 {callback}"


@pytest.mark.parametrize(("text", "reason"), [("x" * 1531, Reason.TOO_LARGE), (" ", Reason.TEMPLATE_ERROR)])
def test_what_a_carrier_would_not_take_is_refused(
    sender: SmsSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot, text: str, reason: Reason
) -> None:
    with pytest.raises(Refused) as refused:
        sender.prepare(make_dispatch(Channel.SMS, data=json.dumps({"text": text})), user)
    assert refused.value.reason is reason


@pytest.mark.parametrize(("seconds", "ttl"), [(None, None), (600, 600), (-5, 1)])
def test_what_expires_is_not_tried_for_longer(
    sender: SmsSender,
    make_dispatch: Callable[..., Dispatch],
    user: UserSnapshot,
    seconds: int | None,
    ttl: int | None,
) -> None:
    expires_at = None if seconds is None else int((NOW + seconds) * 1000)
    (part,) = sender.prepare(make_dispatch(Channel.SMS, expires_at=expires_at), user)
    assert isinstance(part.payload, SmsPart)
    assert part.payload.message.ttl == ttl


def test_ten_segments_still_go(sender: SmsSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot) -> None:
    assert sender.prepare(make_dispatch(Channel.SMS, data=json.dumps({"text": "x" * 1530})), user)


@pytest.mark.parametrize(
    ("text", "settings", "reason", "told"),
    [
        ("x" * 161, {"max_segments": 1}, Reason.TOO_LARGE, "takes 2 segments, 1 are allowed"),
        (
            "x" * 161,
            {"prices": {"US": 0.05, "*": 9}, "max_price": 0.09},
            Reason.TOO_EXPENSIVE,
            r"costs 0\.1 \(2 segments to US\), 0\.09 is allowed",
        ),
        ("x", {"prices": {"DE": 0.05, "*": 9}, "max_price": 0.09}, Reason.TOO_EXPENSIVE, "costs 9 "),
    ],
)
def test_limits_of_length_and_price_are_the_settings(
    make_sender: MakeSender,
    make_dispatch: Callable[..., Dispatch],
    user: UserSnapshot,
    text: str,
    settings: dict[str, Any],
    reason: Reason,
    told: str,
) -> None:
    with pytest.raises(Refused, match=told) as refused:
        make_sender(**settings).prepare(make_dispatch(Channel.SMS, data=json.dumps({"text": text})), user)
    assert refused.value.reason is reason


def test_a_message_that_costs_just_what_is_allowed_goes(
    make_sender: MakeSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    sender = make_sender(prices={"*": 0.05}, max_price=0.1)
    assert sender.prepare(make_dispatch(Channel.SMS, data=json.dumps({"text": "x" * 161})), user)


def test_each_country_has_its_sender_and_one_without_is_refused(
    make_sender: MakeSender, make_dispatch: Callable[..., Dispatch]
) -> None:
    sender = make_sender({"DE": "Shop", "US": "+15005550001"}.get)
    for phone, expected in (("+49 30 901820", "Shop"), ("+1 202 555 0100", "+15005550001")):
        user = UserSnapshot(user_id="u", version=1, known=True, phone=phone)
        (part,) = sender.prepare(make_dispatch(Channel.SMS), user)
        assert isinstance(part.payload, SmsPart)
        assert part.payload.message.sender == expected
    french = UserSnapshot(user_id="u", version=1, known=True, phone="+33 1 42 68 53 00")
    with pytest.raises(Refused, match=r"no sender for country FR: set providers\.twilio\.senders") as refused:
        sender.prepare(make_dispatch(Channel.SMS), french)
    assert refused.value.reason is Reason.PROVIDER_CONFIGURATION


def test_a_number_that_is_none_is_refused_without_being_told(
    sender: SmsSender, make_dispatch: Callable[..., Dispatch]
) -> None:
    user = UserSnapshot(user_id="u", version=1, known=True, phone="0170 1234567")
    with pytest.raises(Refused) as refused:
        sender.prepare(make_dispatch(Channel.SMS), user)
    assert refused.value.reason is Reason.NO_ADDRESS
    assert "0170" not in refused.value.detail


@pytest.mark.parametrize(("error", "reason"), [("21610", "stop"), ("21211", "invalid_number")])
async def test_a_dead_number_is_suppressed_and_stop_is_told_apart(
    sender: SmsSender,
    suppressions: SuppressionList,
    make_dispatch: Callable[..., Dispatch],
    user: UserSnapshot,
    error: str,
    reason: str,
) -> None:
    dispatch = make_dispatch(Channel.SMS)
    (part,) = sender.prepare(dispatch, user)
    assert isinstance(part.payload, SmsPart)
    result = SendResult(outcome=Outcome.INVALID_RECIPIENT, provider="twilio", error=error)
    await sender.prune(dispatch, part, result)
    assert suppressions.added == [(Channel.SMS, "user_1", "+1 500 555 0006", "*", reason)]
