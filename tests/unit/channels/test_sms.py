import json
from collections.abc import Callable

import pytest

from pipeline.channels.base import Refused
from pipeline.channels.rendering import Renderer
from pipeline.channels.sms import SmsPart, SmsSender
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel, Reason
from pipeline.providers.base import Outcome, SendResult
from pipeline.users.snapshot import UserSnapshot


class Provider:
    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, to: str, text: str, status_callback: str) -> SendResult:
        return SendResult(outcome=Outcome.ACCEPTED, provider="twilio", message_id=f"{to} {status_callback}")


class SuppressionList:
    def __init__(self) -> None:
        self.added: list[tuple[object, ...]] = []

    async def add(self, *arguments: object) -> None:
        self.added.append(arguments)


@pytest.fixture
def suppressions() -> SuppressionList:
    return SuppressionList()


@pytest.fixture
def sender(renderer: Callable[[Channel], Renderer], suppressions: SuppressionList) -> SmsSender:
    return SmsSender(renderer(Channel.SMS), Provider(), suppressions, public_url="https://notify.example.com")


async def test_the_number_travels_in_e164_and_the_callback_names_the_notification(
    sender: SmsSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    dispatch = make_dispatch(Channel.SMS)
    (part,) = sender.prepare(dispatch, user)
    result = await sender.send(dispatch, part)
    callback = f"https://notify.example.com/v1/webhooks/twilio?notification_id={dispatch.notification_id}"
    assert result.message_id == f"+15005550006 {callback}"


@pytest.mark.parametrize(("text", "reason"), [("x" * 1531, Reason.TOO_LARGE), (" ", Reason.TEMPLATE_ERROR)])
def test_what_a_carrier_would_not_take_is_refused(
    sender: SmsSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot, text: str, reason: Reason
) -> None:
    with pytest.raises(Refused) as refused:
        sender.prepare(make_dispatch(Channel.SMS, data=json.dumps({"text": text})), user)
    assert refused.value.reason is reason


def test_ten_segments_still_go(sender: SmsSender, make_dispatch: Callable[..., Dispatch], user: UserSnapshot) -> None:
    assert sender.prepare(make_dispatch(Channel.SMS, data=json.dumps({"text": "x" * 1530})), user)


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
