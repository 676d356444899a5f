"""What goes out with a message so that its receipts can be told of."""

from collections.abc import Callable

import pytest

from pipeline.channels.email import EmailPart, EmailSender
from pipeline.channels.rendering import Renderer
from pipeline.channels.sms import SmsSender
from pipeline.config import EmailSettings, SmsSettings
from pipeline.errors import Unavailable
from pipeline.events.records import Dispatch
from pipeline.events.references import Feedback, Reference, Seal, feedback_status, reference_of
from pipeline.events.vocabulary import Channel, Reason, Status
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.mail import MailMessage
from pipeline.providers.ses import MAX_TAG, reference_of_tags, reference_tags
from pipeline.providers.sms import SmsMessage
from pipeline.testing.mails import sample_mail
from pipeline.users.snapshot import UserSnapshot


class Relay:
    name = "relay"

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, mail: MailMessage) -> SendResult:
        raise AssertionError("nothing is sent here")

    async def check(self) -> SendResult:
        raise AssertionError("nothing is sent here")


class NoSuppressions:
    async def add(self, *arguments: object) -> None:
        raise AssertionError("nothing is suppressed here")


def test_a_mail_carries_what_a_status_record_will_say_of_it(
    renderer: Callable[[Channel], Renderer], make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    seal = Seal([b"secret"])
    sender = EmailSender(
        renderer(Channel.EMAIL), Relay(), NoSuppressions(), EmailSettings(), public_url="http://x", seal=seal
    )
    dispatch = make_dispatch(Channel.EMAIL)
    (part,) = sender.prepare(dispatch, user)
    assert isinstance(part.payload, EmailPart)
    assert seal.open(part.payload.mail.reference) == reference_of(dispatch)
    assert sample_mail().reference == ""


def test_a_status_says_of_the_notification_what_its_dispatch_said(make_dispatch: Callable[..., Dispatch]) -> None:
    dispatch = make_dispatch(Channel.SMS)
    status = feedback_status(
        reference_of(dispatch), Feedback(Status.DELIVERED, Reason.REPORTED, 1_771_840_900_000, "twilio", "SM1")
    )
    assert (status.notification_id, status.recipient_id) == (dispatch.notification_id, dispatch.event.recipient_id)
    assert (status.channel, status.rule, status.created_at) == (Channel.SMS, dispatch.rule, dispatch.event.created_at)
    assert (status.status, status.provider, status.provider_message_id) == (Status.DELIVERED, "twilio", "SM1")


class Sms:
    """Accepts if the reference was there before it was asked."""

    name = "twilio"
    opted_out: frozenset[str] = frozenset()

    def __init__(self, shelf: "Shelf") -> None:
        self._shelf = shelf

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> SendResult:
        raise AssertionError("nothing is checked here")

    async def send(self, message: SmsMessage) -> SendResult:
        kept = message.notification_id in {reference.notification_id for reference in self._shelf.kept}
        return SendResult(outcome=Outcome.ACCEPTED, provider="twilio", message_id="kept" if kept else "not kept")


class Shelf:
    def __init__(self, *, away: bool = False) -> None:
        self.kept: list[Reference] = []
        self._away = away

    async def put(self, reference: Reference) -> None:
        if self._away:
            raise Unavailable("Redis is away")
        self.kept.append(reference)


@pytest.mark.parametrize("away", [False, True])
async def test_an_sms_goes_out_with_its_reference_on_the_shelf_and_without_it_where_that_is_away(
    renderer: Callable[[Channel], Renderer], make_dispatch: Callable[..., Dispatch], user: UserSnapshot, away: bool
) -> None:
    shelf = Shelf(away=away)
    sender = SmsSender(
        renderer(Channel.SMS),
        Sms(shelf),
        NoSuppressions(),
        SmsSettings(),
        public_url="http://x",
        sender_of=lambda _country: "+15005550000",
        references=shelf,
    )
    dispatch = make_dispatch(Channel.SMS)
    (part,) = sender.prepare(dispatch, user)
    assert (await sender.send(dispatch, part)).message_id == ("not kept" if away else "kept")
    assert shelf.kept == ([] if away else [reference_of(dispatch)])


def test_a_reference_is_put_together_again_from_its_tags() -> None:
    reference = "x" * MAX_TAG + "y" * MAX_TAG + "z"
    tags = reference_tags(reference)
    assert max(map(len, tags.values())) == MAX_TAG
    assert reference_of_tags({"notification_id": "n", **tags}) == reference
    assert reference_of_tags({"notification_id": "n"}) == ""
